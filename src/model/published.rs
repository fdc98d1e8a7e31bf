//! Parameters under the names of the authors' published implementation, turned into ours.

use std::collections::BTreeMap;
use std::path::Path;

use tch::Tensor;

use super::parameters::ParametersError;
use crate::modality::Modality;

/// Every published state has it.
pub const EMBEDDING: &str = "encoder.entity_emb.weight";

/// Our names, from a state of the published implementation. What is not a parameter of ours is left out; what has another shape
/// than any published state keeps it, and is refused, with both shapes, where it is assigned.
///
/// # Errors
/// If the experts of a modality or the estimators differ in shape; `path` is named in the message.
pub fn rename(published: &BTreeMap<String, Tensor>, path: &Path) -> Result<BTreeMap<String, Tensor>, ParametersError> {
    let mut ours = BTreeMap::new();
    let mut take = |from: &str, to: &str, change: &dyn Fn(&Tensor) -> Tensor| {
        if let Some(tensor) = published.get(from) {
            ours.insert(to.to_owned(), change(tensor));
        }
    };
    let same = |tensor: &Tensor| tensor.shallow_clone();
    take(EMBEDDING, "graph.embedding", &same);
    for layer in 0..published.len() {
        let from = format!("encoder.gph_emb.layer_stack.{layer}");
        take(&format!("{from}.w"), &format!("graph.layer{layer}.weight"), &|w| without(w, 1));
        take(&format!("{from}.a_src_dst"), &format!("graph.layer{layer}.attention"), &|a| without(a, 2));
    }
    take("encoder.joint.weight", "fusion.weight", &|w| without(w, 1));
    take("encoder.joint.combo_gate_query", "fusion.query", &same);
    take("encoder.joint.combo_proj.weight", "fusion.projection.weight", &same);
    take("encoder.joint.combo_proj.bias", "fusion.projection.bias", &same);
    take("contrastive_weights.log_vars", "uncertainty.contrastive", &in_our_order);
    take("distillation_weights.log_vars", "uncertainty.distillation", &in_our_order);
    for (modality, [adaptor, _]) in PARTS {
        for (part, name) in [("w_gate", "gate"), ("w_noise", "gate_noise")] {
            take(&format!("encoder.{adaptor}.{part}"), &format!("experts.{modality}.{name}"), &same);
        }
    }
    for (modality, [adaptor, _]) in PARTS {
        for (part, name) in [("lin.weight", "weight"), ("bias", "shift")] {
            let names = (0..).map(|expert| format!("encoder.{adaptor}.experts.{expert}.{part}"));
            if let Some(experts) = stacked(published, names, path)? {
                // The rows of one expert's weight come after those of another.
                let in_a_row = part == "lin.weight" && experts.dim() > 1;
                let experts = if in_a_row { experts.flatten(0, 1) } else { experts };
                ours.insert(format!("experts.{modality}.{name}"), experts);
            }
        }
    }
    for (layer, name) in [(0, "hidden"), (2, "output")] {
        for part in ["weight", "bias"] {
            let networks = PARTS.iter().flat_map(|(_, [_, of])| ["p_mu", "p_logvar"].map(|network| (of, network)));
            let names = networks.map(|(of, network)| format!("club.estimators.{of}.{network}.{layer}.{part}"));
            if let Some(networks) = stacked(published, names, path)?.filter(|of| of.size()[0] % 2 == 0) {
                ours.insert(format!("estimator.{name}.{part}"), networks.unflatten(0, [-1, 2]));
            }
        }
    }
    Ok(ours)
}

/// Without a dimension that has one entry.
fn without(tensor: &Tensor, dim: usize) -> Tensor {
    if tensor.size().get(dim) == Some(&1) { tensor.squeeze_dim(dim as i64) } else { tensor.shallow_clone() }
}

/// Tensors of these names until one is not there, `[count, …]`; none if the first is not.
fn stacked(
    published: &BTreeMap<String, Tensor>,
    names: impl Iterator<Item = String>,
    path: &Path,
) -> Result<Option<Tensor>, ParametersError> {
    let tensors: Vec<_> = names.map_while(|name| Some((published.get(&name)?, name))).collect();
    let Some((first, _)) = tensors.first() else { return Ok(None) };
    if let Some((odd, name)) = tensors.iter().find(|(tensor, _)| tensor.size() != first.size()) {
        let (path, name) = (path.to_owned(), name.clone());
        return Err(ParametersError::Shape { path, name, found: odd.size(), expected: first.size() });
    }
    Ok(Some(Tensor::stack(&tensors.iter().map(|(tensor, _)| *tensor).collect::<Vec<_>>(), 0)))
}

/// Log-variances, one for each modality, from the order in which the published implementation lists its losses.
fn in_our_order(log_variances: &Tensor) -> Tensor {
    if log_variances.size() != [LOSSES.len() as i64] {
        return log_variances.shallow_clone();
    }
    let places = Modality::ALL.map(|modality| LOSSES.iter().position(|m| *m == modality).unwrap_or_default() as i64);
    log_variances.index_select(0, &Tensor::from_slice(&places).to_device(log_variances.device()))
}

/// The modalities as the published implementation lists their losses; everywhere else it has our order.
const LOSSES: [Modality; 6] = [
    Modality::Graph,
    Modality::Relation,
    Modality::Attribute,
    Modality::AttributeText,
    Modality::RelationText,
    Modality::Image,
];

/// What the published implementation calls each modality's experts and estimator; in our order.
const PARTS: [(Modality, [&str; 2]); 5] = [
    (Modality::Image, ["img_fc", "img"]),
    (Modality::Relation, ["rel_fc", "rel"]),
    (Modality::RelationText, ["rel_txt_fc", "rel_text"]),
    (Modality::Attribute, ["att_fc", "att"]),
    (Modality::AttributeText, ["att_txt_fc", "att_text"]),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

    use super::*;

    #[test]
    fn each_log_variance_comes_to_its_modality() {
        let published = BTreeMap::from([(
            "contrastive_weights.log_vars".to_owned(),
            Tensor::from_slice(&LOSSES.map(|modality| modality as i64)),
        )]);
        let ours = rename(&published, Path::new("state")).unwrap().remove("uncertainty.contrastive").unwrap();
        assert_eq!(Vec::<i64>::try_from(ours).unwrap(), Modality::ALL.map(|modality| modality as i64));
    }

    fn renamed(tensors: &[(&str, &[i64])]) -> Result<BTreeMap<String, Tensor>, ParametersError> {
        let zeros = |shape: &[i64]| Tensor::zeros(shape, (tch::Kind::Float, tch::Device::Cpu));
        let published = tensors.iter().map(|(name, shape)| ((*name).to_owned(), zeros(shape))).collect();
        rename(&published, Path::new("state"))
    }

    #[test]
    fn a_tensor_of_another_shape_keeps_it_and_so_is_refused() {
        let odd: [(&str, &str, &[i64]); 5] = [
            ("contrastive_weights.log_vars", "uncertainty.contrastive", &[3]),
            ("encoder.gph_emb.layer_stack.0.w", "graph.layer0.weight", &[4]),
            ("encoder.gph_emb.layer_stack.0.a_src_dst", "graph.layer0.attention", &[4, 3]),
            ("encoder.joint.weight", "fusion.weight", &[]),
            ("encoder.joint.weight", "fusion.weight", &[7, 2]),
        ];
        for (published, ours, shape) in odd {
            assert_eq!(renamed(&[(published, shape)]).unwrap()[ours].size(), shape);
        }
    }

    #[test]
    fn experts_of_odd_shapes_are_told_or_left_to_be_refused() {
        let names = ["encoder.img_fc.experts.0.lin.weight", "encoder.img_fc.experts.1.lin.weight"];
        let of = |shapes: [&[i64]; 2]| renamed(&[(names[0], shapes[0]), (names[1], shapes[1])]);
        let sizes = |shapes| of(shapes).unwrap()["experts.image.weight"].size();
        assert_eq!(sizes([&[2, 3], &[2, 3]]), [4, 3]);
        assert_eq!([sizes([&[], &[]]), sizes([&[3], &[3]]), sizes([&[2, 0], &[2, 0]])], [vec![2], vec![6], vec![4, 0]]);
        // Without biases there are no shifts, which are then found to be missing.
        assert!(!of([&[2, 3], &[2, 3]]).unwrap().contains_key("experts.image.shift"));
        let error = of([&[2, 3], &[2, 4]]).unwrap_err();
        assert!(matches!(&error, ParametersError::Shape { name, found, expected, .. }
            if name == names[1] && found == &[2, 4] && expected == &[2, 3]));
    }
}
