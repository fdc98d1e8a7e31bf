//! `AdamW` (Loshchilov & Hutter, ICLR 2019) as PyTorch computes it, with a state that can be saved.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use tch::{Device, Tensor, no_grad};

use crate::model::parameters::{Parameters, ParametersError};

/// Hyper-parameters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdamWConfig {
    /// Learning rate.
    pub learning_rate: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Decay of the two moments.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub epsilon: f64,
}

/// The optimiser of one set of parameters.
#[derive(Debug)]
pub struct AdamW {
    config: AdamWConfig,
    steps: i64,
    moments: BTreeMap<String, [Tensor; 2]>,
    joined: Option<Joined>,
}

/// Parameters that lie one behind another, so that a GPU updates all of them at once: it takes longer to be asked for a small
/// tensor's update than to make it.
#[derive(Debug)]
struct Joined {
    names: BTreeSet<String>,
    /// `[P]` each. Parameters, their gradients and their moments are views of these, and what lies between them is 0 and stays it.
    values: Tensor,
    gradients: Tensor,
    moments: [Tensor; 2],
}

impl AdamW {
    /// An optimiser that has not stepped yet.
    pub fn new(config: AdamWConfig) -> Self {
        Self { config, steps: 0, moments: BTreeMap::new(), joined: None }
    }

    /// One step on every parameter that has a gradient.
    pub fn step(&mut self, parameters: &Parameters) {
        self.steps += 1;
        no_grad(|| {
            let learning: Vec<_> = parameters.iter().filter(|(_, parameter)| parameter.grad().defined()).collect();
            for (name, parameter) in &learning {
                self.moments.entry((*name).to_owned()).or_insert_with(|| zeros(parameter));
            }
            if self.joined.is_none() && learning.first().is_some_and(|(_, parameter)| parameter.device().is_cuda()) {
                self.joined = Some(Joined::new(&learning, &self.moments));
            }
            if let Some(Joined { values, gradients, moments, .. }) = &self.joined {
                update(self.config, self.steps, values, gradients, moments);
            }
            for (name, parameter) in learning.into_iter().filter(|(name, _)| !self.is_joined(name)) {
                update(self.config, self.steps, parameter, &parameter.grad(), &self.moments[name]);
            }
        });
    }

    /// Makes all gradients zero.
    pub fn zero_grad(&self, parameters: &Parameters) {
        if let Some(joined) = &self.joined {
            let _ = joined.gradients.shallow_clone().zero_();
        }
        for (_, parameter) in parameters.iter().filter(|(name, _)| !self.is_joined(name)) {
            parameter.shallow_clone().zero_grad();
        }
    }

    fn is_joined(&self, name: &str) -> bool {
        self.joined.as_ref().is_some_and(|joined| joined.names.contains(name))
    }

    /// Steps taken and moments as named tensors, to be saved beside the parameters.
    pub fn state(&self) -> BTreeMap<String, Tensor> {
        let mut state = BTreeMap::from([("steps".to_owned(), Tensor::from_slice(&[self.steps]))]);
        for (name, [first, second]) in &self.moments {
            state.insert(format!("first.{name}"), first.shallow_clone());
            state.insert(format!("second.{name}"), second.shallow_clone());
        }
        state
    }

    /// Takes up a state that [`Self::state`] gave for the same `parameters`; `path` is named in errors.
    ///
    /// # Errors
    /// If the number of steps or a moment of a pair is missing, or has another shape.
    pub fn restore(
        &mut self,
        mut state: BTreeMap<String, Tensor>,
        parameters: &Parameters,
        path: &Path,
    ) -> Result<(), ParametersError> {
        let mut take = |name: String, shape: Vec<i64>| match state.remove(&name) {
            None => Err(ParametersError::Missing { path: path.to_owned(), name }),
            Some(found) if found.size() != shape => {
                Err(ParametersError::Shape { path: path.to_owned(), name, found: found.size(), expected: shape })
            }
            Some(found) => Ok(found),
        };
        let steps = take("steps".to_owned(), vec![1])?.int64_value(&[0]);
        let mut moments = BTreeMap::new();
        for (name, parameter) in parameters.iter() {
            let mut moment = |which: &str| {
                // Of the parameter's kind, whatever the file's is, as the parameter itself is.
                take(format!("{which}.{name}"), parameter.size())
                    .map(|moment| moment.to_device(parameter.device()).to_kind(parameter.kind()))
            };
            match moment("first") {
                // A parameter that never had a gradient has no moments.
                Err(ParametersError::Missing { .. }) => {}
                first => {
                    moments.insert(name.to_owned(), [first?, moment("second")?]);
                }
            }
        }
        (self.steps, self.moments, self.joined) = (steps, moments, None);
        Ok(())
    }
}

impl Joined {
    /// Moves parameters that have a gradient, with it and their moments, into one piece of memory each.
    fn new(learning: &[(&str, &Tensor)], moments: &BTreeMap<String, [Tensor; 2]>) -> Self {
        let all =
            |of: &dyn Fn(&str, &Tensor) -> Tensor| join(learning.iter().map(|(name, parameter)| of(name, parameter)));
        Self {
            names: learning.iter().map(|(name, _)| (*name).to_owned()).collect(),
            values: all(&|_, parameter| parameter.shallow_clone()),
            gradients: all(&|_, parameter| parameter.grad()),
            moments: [0, 1].map(|which: usize| all(&|name, _| moments[name][which].shallow_clone())),
        }
    }
}

/// Numbers on whose multiples a tensor begins: for one that begins elsewhere a GPU takes slower kernels (`docs/benchmarks.md`).
const ALIGNED: i64 = 64;

/// Moves tensors one behind another, `[P]`, with zeros between; they stay what they were, as views of it.
fn join(tensors: impl Iterator<Item = Tensor>) -> Tensor {
    let tensors: Vec<Tensor> = tensors.collect();
    let padded = |tensor: &Tensor| {
        let flat = tensor.detach().reshape([-1]);
        let spare = (-flat.size()[0]).rem_euclid(ALIGNED);
        flat.constant_pad_nd([0, spare])
    };
    let pieces: Vec<Tensor> = tensors.iter().map(padded).collect();
    let joined = Tensor::cat(&pieces, 0);
    let mut start = 0;
    for (mut tensor, piece) in tensors.into_iter().zip(pieces) {
        tensor.set_data(&joined.narrow(0, start, tensor.numel() as i64).view_as(&tensor));
        start += piece.size()[0];
    }
    joined
}

fn zeros(parameter: &Tensor) -> [Tensor; 2] {
    [parameter.detach().zeros_like(), parameter.detach().zeros_like()]
}

/// Numbers that are updated together on a CPU: nine passes over them find all but the first in its caches.
const CHUNK: i64 = 1 << 17;

fn update(config: AdamWConfig, steps: i64, parameter: &Tensor, gradient: &Tensor, moments: &[Tensor; 2]) {
    let chunk = if parameter.device() == Device::Cpu { CHUNK } else { parameter.numel().max(1) as i64 };
    // A view, since what is kept is written to; a gradient need not lie in one piece.
    let chunks = |kept: &Tensor| kept.detach().view([-1]).split(chunk, 0);
    let gradients = gradient.reshape([-1]).split(chunk, 0);
    let moments = chunks(&moments[0]).into_iter().zip(chunks(&moments[1]));
    for ((value, gradient), (first, second)) in chunks(parameter).into_iter().zip(gradients).zip(moments) {
        update_chunk(config, steps, value, &gradient, [first, second]);
    }
}

/// Everything `[n]`, and in place; the step's size is in the denominator.
fn update_chunk(config: AdamWConfig, steps: i64, mut value: Tensor, gradient: &Tensor, moments: [Tensor; 2]) {
    let ([beta1, beta2], [mut first, mut second]) = (config.betas, moments);
    let _ = first.lerp_(gradient, 1.0 - beta1);
    let _ = second.lerp_(&gradient.square(), 1.0 - beta2);
    let corrected = 1.0 - beta1.powi(steps as i32);
    let root = (1.0 - beta2.powi(steps as i32)).sqrt();
    let mut denominator = second.sqrt();
    denominator /= root;
    denominator += config.epsilon;
    denominator *= -corrected / config.learning_rate;
    value *= 1.0 - config.learning_rate * config.weight_decay;
    let _ = value.addcdiv_(&first, &denominator);
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    const CONFIG: AdamWConfig =
        AdamWConfig { learning_rate: 0.1, weight_decay: 0.01, betas: [0.9, 0.999], epsilon: 1e-8 };

    fn parameters() -> (Parameters, Tensor) {
        let mut parameters = Parameters::default();
        let weight = parameters.add("weight".to_owned(), &Tensor::from_slice(&[1.0_f32, -2.0]), Device::Cpu);
        (parameters, weight)
    }

    fn step(optimiser: &mut AdamW, parameters: &mut Parameters, weight: &Tensor) {
        optimiser.zero_grad(parameters);
        weight.square().sum(Kind::Float).backward();
        optimiser.step(parameters);
    }

    #[test]
    fn the_first_step_moves_by_the_learning_rate_after_decay() {
        let (mut parameters, weight) = parameters();
        step(&mut AdamW::new(CONFIG), &mut parameters, &weight);
        // 1·(1 − 0.001) − 0.1 and −2·(1 − 0.001) + 0.1: the first Adam step is the sign of the gradient.
        assert!((weight.double_value(&[0]) - 0.899).abs() < 1e-6);
        assert!((weight.double_value(&[1]) + 1.898).abs() < 1e-6);
    }

    #[test]
    fn chunks_are_updated_like_the_whole() {
        let numbers = |factor: f64| (Tensor::arange(CHUNK + 3, (Kind::Float, Device::Cpu)) * factor).sin();
        let (parameter, gradient) = (numbers(0.3), numbers(0.7));
        let [whole, parts] = [(), ()].map(|()| (parameter.copy(), zeros(&parameter)));
        update_chunk(CONFIG, 1, whole.0.shallow_clone(), &gradient, whole.1.each_ref().map(Tensor::shallow_clone));
        update(CONFIG, 1, &parts.0, &gradient, &parts.1);
        assert_eq!(whole, parts);
    }

    #[test]
    fn joined_parameters_are_updated_like_each_by_itself() {
        let numbers = |shape: &[i64], factor: f64| {
            let count = shape.iter().product::<i64>();
            (Tensor::arange(count, (Kind::Float, Device::Cpu)) * factor).sin().view(shape)
        };
        let run = |together: bool| {
            let mut parameters = Parameters::default();
            let [one, other] = [("a", [2, 3], 0.3), ("b", [1, 4], 0.9)]
                .map(|(name, shape, factor)| parameters.add(name.to_owned(), &numbers(&shape, factor), Device::Cpu));
            let late = parameters.add("c".to_owned(), &numbers(&[2], 0.5), Device::Cpu);
            let mut optimiser = AdamW::new(CONFIG);
            for epoch in 0..3 {
                optimiser.zero_grad(&parameters);
                let late = if epoch > 0 { late.square().sum(Kind::Float) } else { Tensor::from(0.0_f32) };
                ((&one * &one).sum(Kind::Float) + other.exp().sum(Kind::Float) + late).backward();
                optimiser.step(&parameters);
                if together && epoch == 0 {
                    let learning: Vec<_> = parameters.iter().filter(|(name, _)| *name != "c").collect();
                    optimiser.joined = Some(no_grad(|| Joined::new(&learning, &optimiser.moments)));
                }
            }
            let state = optimiser.state().into_values().chain([one, other, late]);
            state.map(|tensor| tensor.detach().copy()).collect::<Vec<_>>()
        };
        assert_eq!(run(true), run(false));
    }

    #[test]
    fn a_state_of_other_shapes_is_refused_and_one_of_another_kind_is_taken() {
        let (mut parameters, weight) = parameters();
        let mut optimiser = AdamW::new(CONFIG);
        step(&mut optimiser, &mut parameters, &weight);
        let restored = |name: &str, tensor: Tensor| {
            let mut state = optimiser.state();
            state.insert(name.to_owned(), tensor);
            let mut other = AdamW::new(CONFIG);
            other.restore(state, &parameters, Path::new("state")).map(|()| other)
        };
        for (name, kind) in [("steps", Kind::Int64), ("first.weight", Kind::Float), ("second.weight", Kind::Float)] {
            let refused = restored(name, Tensor::zeros([0], (kind, Device::Cpu)));
            assert!(matches!(refused, Err(ParametersError::Shape { .. })), "{name}");
        }
        let mut wide = restored("first.weight", optimiser.state()["first.weight"].to_kind(Kind::Double)).unwrap();
        step(&mut wide, &mut parameters, &weight);
        assert_eq!(wide.state()["first.weight"].kind(), Kind::Float);
        let mut lacking = optimiser.state();
        lacking.remove("second.weight");
        let refused = AdamW::new(CONFIG).restore(lacking, &parameters, Path::new("state"));
        assert!(matches!(refused, Err(ParametersError::Missing { name, .. }) if name == "second.weight"));
    }

    #[test]
    fn a_restored_state_continues_exactly() {
        let (mut whole, whole_weight) = parameters();
        let mut optimiser = AdamW::new(CONFIG);
        step(&mut optimiser, &mut whole, &whole_weight);
        let mut resumed = AdamW::new(CONFIG);
        let state = optimiser.state().into_iter().map(|(name, tensor)| (name, tensor.copy())).collect();
        let restored = resumed.restore(state, &whole, Path::new("state"));
        assert!(restored.is_ok());
        let mut other = Parameters::default();
        let other_weight = other.add("weight".to_owned(), &whole_weight, Device::Cpu);
        step(&mut optimiser, &mut whole, &whole_weight);
        step(&mut resumed, &mut other, &other_weight);
        assert_eq!(whole_weight.detach(), other_weight.detach());
    }
}
