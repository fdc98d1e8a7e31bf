//! VGG16, functional: the plan of channels is read from the shapes of the weights, so networks of other widths work.
//!
//! Names of both worlds are accepted: timm (`pre_logits.fc1`, `pre_logits.fc2`, `head.fc`, the first two as
//! convolutions) and torchvision (`classifier.0`, `.3`, `.6`). Source: Simonyan and Zisserman 2015, configuration D.

use std::str::FromStr;

use data_process::fault::{Fault, Kind as FaultKind};
use tch::Tensor;

use crate::plm::weights::{Weights, WeightsError};

/// What is taken from the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layer {
    /// The first fully connected layer, after `ReLU`.
    Fc6,
    /// The second fully connected layer, after `ReLU`: 4096 wide, not negative.
    #[default]
    Fc7,
    /// The class scores before softmax.
    Logits,
}

impl Layer {
    /// The name used on the command line and in stores.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fc6 => "fc6",
            Self::Fc7 => "fc7",
            Self::Logits => "logits",
        }
    }
}

impl std::fmt::Display for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is not a layer.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a layer; write fc6, fc7 or logits")]
pub struct UnknownLayer(String);

impl FromStr for Layer {
    type Err = UnknownLayer;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [Self::Fc6, Self::Fc7, Self::Logits]
            .into_iter()
            .find(|layer| layer.name() == name)
            .ok_or_else(|| UnknownLayer(name.to_owned()))
    }
}

/// Weights that are not those of a VGG.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VggError {
    /// The weights cannot be read, or a tensor is missing.
    #[error("{0} (VGG16 by timm's or torchvision's names is expected)")]
    Weights(#[from] WeightsError),
    /// The network was cut off below its head, and the head is asked for.
    #[error("the weights have no head.fc, so there are no logits; take --layer fc7")]
    NoHead,
    /// A tensor's shape does not follow from the one before it.
    #[error("the tensor {name} has shape {found:?}, which does not fit {expected}")]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape.
        found: Vec<i64>,
        /// What it should be.
        expected: String,
    },
    /// libtorch failed, for want of memory for instance.
    #[error("libtorch: {0}; a smaller --batch-size may help")]
    Torch(#[from] tch::TchError),
}

impl Fault for VggError {
    fn kind(&self) -> FaultKind {
        match self {
            Self::NoHead | Self::Shape { .. } => FaultKind::Data,
            Self::Weights(error) => error.kind(),
            Self::Torch(_) => FaultKind::Device,
        }
    }
}

/// A layer's weight and bias.
#[derive(Debug)]
struct Affine {
    weight: Tensor,
    bias: Tensor,
}

/// A convolution of 3 × 3 with `ReLU`, and whether 2 × 2 pooling follows.
#[derive(Debug)]
struct Convolution {
    affine: Affine,
    pooled: bool,
}

/// The network, on one device.
#[derive(Debug)]
pub struct Vgg {
    convolutions: Vec<Convolution>,
    fc6: Affine,
    fc7: Affine,
    logits: Option<Affine>,
}

/// Side of the feature map the fully connected layers expect.
const GRID: i64 = 7;

impl Vgg {
    /// Builds the network from named tensors.
    ///
    /// # Errors
    /// If a tensor is missing or its shape does not follow from the one before it.
    pub fn new(weights: &Weights) -> Result<Self, VggError> {
        let convolutions = convolutions(weights)?;
        let channels = convolutions.last().map_or(0, |last| last.affine.weight.size()[0]);
        let fc6 = connected(weights, ["pre_logits.fc1", "classifier.0"], channels * GRID * GRID)?;
        let fc7 = connected(weights, ["pre_logits.fc2", "classifier.3"], fc6.weight.size()[0])?;
        let logits = connected(weights, ["head.fc", "classifier.6"], fc7.weight.size()[0]);
        // A network cut off below its head still gives fc7.
        let logits = match logits {
            Err(VggError::Weights(WeightsError::Missing { .. })) => None,
            other => Some(other?),
        };
        Ok(Self { convolutions, fc6, fc7, logits })
    }

    /// The vectors of a batch of images `[b, 3, 224, 224]`: `[b, width]`, float32. Call it under `tch::no_grad`.
    ///
    /// # Errors
    /// If libtorch fails, or the network has no head and its logits are asked for.
    pub fn forward(&self, images: &Tensor, layer: Layer) -> Result<Tensor, VggError> {
        let mut map = images.shallow_clone();
        for Convolution { affine, pooled } in &self.convolutions {
            map = map.f_conv2d(&affine.weight, Some(&affine.bias), [1, 1], [1, 1], [1, 1], 1)?.f_relu_()?;
            if *pooled {
                map = map.f_max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false)?;
            }
        }
        if map.size()[2..] != [GRID, GRID] {
            map = map.f_adaptive_avg_pool2d([GRID, GRID])?;
        }
        let fc6 = self.fc6.apply(&map.f_flatten(1, -1)?)?.f_relu_()?;
        if layer == Layer::Fc6 {
            return Ok(fc6);
        }
        let fc7 = self.fc7.apply(&fc6)?.f_relu_()?;
        match (layer, &self.logits) {
            (Layer::Logits, Some(logits)) => logits.apply(&fc7),
            (Layer::Logits, None) => Err(VggError::NoHead),
            _ => Ok(fc7),
        }
    }
}

impl Affine {
    fn apply(&self, input: &Tensor) -> Result<Tensor, VggError> {
        Ok(input.f_linear(&self.weight, Some(&self.bias))?)
    }
}

/// `features.N`: convolution and `ReLU` take two places, a pooling one more, so a gap of three says that pooling follows.
fn convolutions(weights: &Weights) -> Result<Vec<Convolution>, VggError> {
    // The least that a VGG has.
    drop(weights.any_shape("features.0.weight")?);
    let mut places: Vec<u32> = weights.names().iter().filter_map(|name| place(name)).collect();
    places.sort_unstable();
    let (mut found, mut channels) = (Vec::new(), 3);
    for (at, place) in places.iter().enumerate() {
        let name = format!("features.{place}");
        let affine = affine(weights, &name)?;
        let shape = affine.weight.size();
        if shape.len() != 4 || shape[1..] != [channels, 3, 3] {
            let expected = format!("[_, {channels}, 3, 3] (plain VGG, without batch normalisation)");
            return Err(VggError::Shape { name: format!("{name}.weight"), found: shape, expected });
        }
        channels = shape[0];
        let pooled = places.get(at + 1).is_none_or(|next| next - place == 3);
        found.push(Convolution { affine, pooled });
    }
    Ok(found)
}

fn place(name: &str) -> Option<u32> {
    name.strip_prefix("features.")?.strip_suffix(".weight")?.parse().ok()
}

/// A fully connected layer under either of its names; timm keeps them as convolutions, which are the same numbers.
fn connected(weights: &Weights, names: [&str; 2], inputs: i64) -> Result<Affine, VggError> {
    let known = names.into_iter().find(|name| weights.has(&format!("{name}.weight")));
    let name = known.unwrap_or(names[0]);
    let Affine { weight, bias } = affine(weights, name)?;
    let shape = weight.size();
    if shape[1..].iter().product::<i64>() != inputs {
        let expected = format!("{inputs} inputs");
        return Err(VggError::Shape { name: format!("{name}.weight"), found: shape, expected });
    }
    Ok(Affine { weight: weight.f_reshape([shape[0], inputs])?, bias })
}

fn affine(weights: &Weights, name: &str) -> Result<Affine, VggError> {
    let get = |part: &str| weights.any_shape(&format!("{name}.{part}"));
    let (weight, bias) = (get("weight")?, get("bias")?);
    if weight.dim() == 0 || bias.size() != weight.size()[..1] {
        let expected = format!("the bias of {:?}", weight.size());
        return Err(VggError::Shape { name: format!("{name}.bias"), found: bias.size(), expected });
    }
    Ok(Affine { weight, bias })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::pixels;
    use std::collections::HashMap;
    use std::path::{Path, PathBuf};
    use tch::{Device, Kind};

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vision").join(name)
    }

    fn tensors(name: &str) -> HashMap<String, Tensor> {
        Tensor::read_safetensors(fixture(name)).unwrap().into_iter().collect()
    }

    fn vgg(tensors: &HashMap<String, Tensor>) -> Result<Vgg, VggError> {
        let tensors = tensors.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect();
        Vgg::new(&Weights::from_tensors("test".to_owned(), tensors, Device::Cpu, Kind::Float))
    }

    /// Figures of the same network in PyTorch, on the same pixels.
    #[test]
    fn a_small_random_vgg_agrees_with_pytorch() {
        let expected = tensors("figures.safetensors");
        let crop = image::open(fixture("crop_pil.png")).unwrap().to_rgb8();
        let pixels = pixels::normalised(crop.as_raw());
        let batch = Tensor::from_slice(&pixels).reshape([1, 3, pixels::SIDE as i64, pixels::SIDE as i64]);
        for name in ["torchvision.bin", "timm.safetensors"] {
            let weights = Weights::open(&[fixture(name)], Device::Cpu, Kind::Float).unwrap();
            let vgg = Vgg::new(&weights).unwrap();
            for layer in [Layer::Fc6, Layer::Fc7, Layer::Logits] {
                let found = tch::no_grad(|| vgg.forward(&batch, layer)).unwrap();
                let difference = (&found - &expected[layer.name()]).abs().max().double_value(&[]);
                assert!(difference <= 1e-4, "{name}, {layer}: {difference}");
                let size = expected[layer.name()].abs().max().double_value(&[]);
                assert!(size > 0.1, "{layer}: figures of {size} would show nothing");
            }
        }
    }

    #[test]
    fn weights_of_something_else_are_refused_by_name() {
        let mut tensors = tensors("timm.safetensors");
        let fc7 = tensors.remove("pre_logits.fc2.weight").unwrap();
        let error = vgg(&tensors).unwrap_err();
        assert!(
            matches!(&error, VggError::Weights(WeightsError::Missing { name, .. }) if name == "pre_logits.fc2.weight"),
            "{error}"
        );
        tensors.insert("pre_logits.fc2.weight".to_owned(), fc7.narrow(1, 0, 3));
        assert!(matches!(vgg(&tensors), Err(VggError::Shape { .. })));
        tensors.insert("pre_logits.fc2.weight".to_owned(), Tensor::zeros([0_i64; 0], (Kind::Float, Device::Cpu)));
        assert!(matches!(vgg(&tensors), Err(VggError::Shape { .. })), "a single number");
        tensors.insert("features.2.weight".to_owned(), Tensor::zeros([4], (Kind::Float, Device::Cpu)));
        assert!(matches!(vgg(&tensors), Err(VggError::Shape { .. })));
        assert!(matches!(vgg(&HashMap::new()), Err(VggError::Weights(WeightsError::Missing { .. }))));
    }

    #[test]
    fn a_network_without_its_head_still_gives_fc7() {
        let mut tensors = tensors("timm.safetensors");
        tensors.retain(|name, _| !name.starts_with("head."));
        let vgg = vgg(&tensors).unwrap();
        let side = pixels::SIDE as i64;
        let images = Tensor::zeros([2, 3, side, side], (Kind::Float, Device::Cpu));
        assert_eq!(vgg.forward(&images, Layer::Fc7).unwrap().size(), [2, 16]);
        assert!(matches!(vgg.forward(&images, Layer::Logits), Err(VggError::NoHead)));
        assert!(matches!(vgg.forward(&images.narrow(1, 0, 2), Layer::Fc7), Err(VggError::Torch(_))));
    }

    #[test]
    fn layers_have_names() {
        assert_eq!("logits".parse::<Layer>().unwrap(), Layer::Logits);
        assert!("fc8".parse::<Layer>().unwrap_err().to_string().contains("fc7"));
    }
}
