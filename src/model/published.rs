//! Parameters under the names of the authors' published implementation, turned into ours.

use std::collections::BTreeMap;
use std::path::Path;

use tch::Tensor;

use super::parameters::{self, ParametersError};
use crate::modality::Modality;

/// Reads parameters to start from, under our names (`graph.embedding`, `experts.image.weight`…, as
/// [`super::parameters::Parameters::iter`] lists them) or under the published ones (`encoder.entity_emb.weight`…).
///
/// # Errors
/// If the file is not one of safetensors.
pub fn read(path: &Path) -> Result<BTreeMap<String, Tensor>, ParametersError> {
    let found = parameters::read(path)?;
    Ok(if found.contains_key(EMBEDDING) { rename(&found) } else { found })
}

/// Every published state has it.
const EMBEDDING: &str = "encoder.entity_emb.weight";

/// Our names, from a state of the published implementation. What is not a parameter of ours is left out.
pub fn rename(published: &BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
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
        take(&format!("{from}.w"), &format!("graph.layer{layer}.weight"), &|w| w.squeeze_dim(1));
        take(&format!("{from}.a_src_dst"), &format!("graph.layer{layer}.attention"), &|a| a.squeeze_dim(2));
    }
    take("encoder.joint.weight", "fusion.weight", &|w| w.squeeze_dim(1));
    take("encoder.joint.combo_gate_query", "fusion.query", &same);
    take("encoder.joint.combo_proj.weight", "fusion.projection.weight", &same);
    take("encoder.joint.combo_proj.bias", "fusion.projection.bias", &same);
    take("contrastive_weights.log_vars", "uncertainty.contrastive", &in_our_order);
    take("distillation_weights.log_vars", "uncertainty.distillation", &in_our_order);
    for (modality, [adaptor, estimator]) in PARTS {
        for (part, name) in [("w_gate", "gate"), ("w_noise", "gate_noise")] {
            take(&format!("encoder.{adaptor}.{part}"), &format!("experts.{modality}.{name}"), &same);
        }
        for (part, name) in [("p_mu", "mean"), ("p_logvar", "log_variance")] {
            for (from, to) in [(0, 0), (2, 1)] {
                for kind in ["weight", "bias"] {
                    let published = format!("club.estimators.{estimator}.{part}.{from}.{kind}");
                    take(&published, &format!("estimator.{modality}.{name}.{to}.{kind}"), &same);
                }
            }
        }
    }
    for (modality, [adaptor, _]) in PARTS {
        let stacked = |part: &str| -> Vec<Tensor> {
            let name = |expert: usize| format!("encoder.{adaptor}.experts.{expert}.{part}");
            (0..).map_while(|expert| published.get(&name(expert)).map(Tensor::shallow_clone)).collect()
        };
        let (weights, shifts) = (stacked("lin.weight"), stacked("bias"));
        if !weights.is_empty() {
            ours.insert(format!("experts.{modality}.weight"), Tensor::cat(&weights, 0));
            ours.insert(format!("experts.{modality}.shift"), Tensor::stack(&shifts, 0));
        }
    }
    ours
}

/// Log-variances, one for each modality, from the order in which the published implementation lists its losses.
fn in_our_order(log_variances: &Tensor) -> Tensor {
    // Another number is of no published state: it is refused, with both shapes, where it is assigned.
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

/// What the published implementation calls each modality's experts and estimator.
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
        let ours = rename(&published).remove("uncertainty.contrastive").unwrap();
        assert_eq!(Vec::<i64>::try_from(ours).unwrap(), Modality::ALL.map(|modality| modality as i64));
    }

    #[test]
    fn log_variances_of_another_number_keep_it_and_so_are_refused() {
        let of_three = Tensor::from_slice(&[0.5_f32, 0.25, 0.125]);
        let published = BTreeMap::from([("contrastive_weights.log_vars".to_owned(), of_three)]);
        assert_eq!(rename(&published)["uncertainty.contrastive"].size(), [3]);
    }
}
