//! Every flag and environment variable of the authors' program, and what it is called here. The README's table is this
//! one; tests hold both to the configuration.

/// One flag of the original.
#[derive(Clone, Copy, Debug)]
pub struct Equivalent {
    /// The original's flag or environment variable.
    pub original: &'static str,
    /// A configuration key, a flag of `humea` where it begins with `--`, or `—` where there is nothing to set.
    pub ours: &'static str,
    /// What differs.
    pub note: &'static str,
}

const fn row(original: &'static str, ours: &'static str, note: &'static str) -> Equivalent {
    Equivalent { original, ours, note }
}

/// The table.
pub const EQUIVALENTS: [Equivalent; 31] = [
    row("--file_dir", "--store", "a store made by `humea prep id-files` or `humea prep mmkb`"),
    row("--rate", "split.rate", "also `--rate`"),
    row("--seed", "run.seed", "also `--seed`; the shuffle of the links has its own, `split.seed`"),
    row("--epochs", "train.epochs", "also `--epochs`"),
    row("--check_point", "train.evaluate_every", "checkpoints: `train.checkpoint_every`"),
    row("--hidden_units", "model.dim", "depth: `model.graph.layers`; the published widths are all equal"),
    row("--heads", "model.graph.heads", "one number: every layer has as many"),
    row("--instance_normalization", "—", "off by default there; the method has none, so there is nothing to set"),
    row("--lr", "train.lr", "also `--lr`"),
    row("--dropout", "—", "0 by default there; the method has none, so there is nothing to set"),
    row("--attn_dropout", "—", "0 by default there; the method has none, so there is nothing to set"),
    row("--n_exp", "model.experts.count", ""),
    row("--device", "run.device", "also `--device`"),
    row("--topk", "model.fusion.top_k", "0 keeps all seven combinations"),
    row(
        "--without",
        "model.ablated",
        "1–6 by name; 7 is `loss.unimodal_alignment = false`, 8 `loss.unimodal_distillation = false`",
    ),
    row("--csls", "evaluate.csls", "always on there, whatever the flag says"),
    row("--csls_k", "evaluate.csls_k", ""),
    row(
        "--il_start",
        "pseudo_labels.start",
        "`pseudo_labels.enabled = true` turns them on; there it only ends the curriculum, which `train.curriculum.until` does",
    ),
    row("--bsize", "train.batch_size", "also `--batch-size`"),
    row("--tau_cl", "loss.tau_contrastive", ""),
    row("--tau_al", "loss.tau_distillation", ""),
    row("--feat_dim", "model.dim", ""),
    row("--al_loss", "loss.lambda_distillation", "enters twice: `loss.doubled_distillation_weight`"),
    row("--cl_loss", "loss.lambda_contrastive", ""),
    row("--reduction", "loss.reduction", ""),
    row("--train_ill_path", "split.train_links", "also `--train-links`"),
    row("--fusion_weight_dim", "model.fusion.query_dim", ""),
    row("--mi_loss", "loss.lambda_decoupling", ""),
    row("AL_LOSS, CL_LOSS", "sweep.key", "`humea run pipelines/paper/sweep_lambda_*.toml`"),
    row("TAU_CL, TAU_AL", "sweep.key", "`humea run pipelines/paper/sweep_tau_*.toml`"),
    row("(curriculum, always on)", "train.curriculum.replay", "`as_published`, `corrected` or `off`"),
];

/// The table as the README shows it.
pub fn markdown() -> String {
    let mut text = String::from("| original | humea | |\n|---|---|---|\n");
    for Equivalent { original, ours, note } in EQUIVALENTS {
        text.push_str(&["| `", original, "` | `", ours, "` | ", note, " |\n"].concat());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;

    /// The flags and variables of the authors' program.
    const ORIGINAL: &str = "--file_dir --rate --seed --epochs --check_point --hidden_units --heads --instance_normalization --lr \
        --dropout --attn_dropout --n_exp --device --topk --without --csls --csls_k --il_start --bsize --tau_cl --tau_al \
        --feat_dim --al_loss --cl_loss --reduction --train_ill_path --fusion_weight_dim --mi_loss AL_LOSS CL_LOSS TAU_CL TAU_AL";

    #[test]
    fn every_original_flag_has_its_equivalent() {
        for flag in ORIGINAL.split_whitespace() {
            let known = EQUIVALENTS.iter().any(|row| row.original.split(", ").any(|name| name == flag));
            assert!(known, "{flag}");
        }
    }

    #[test]
    fn every_equivalent_is_a_key_or_a_flag() {
        let keys = Layers::defaults().unwrap().keys();
        for row in EQUIVALENTS {
            assert!(
                ["--store", "—"].contains(&row.ours) || keys.iter().any(|key| key == row.ours),
                "{} → {}",
                row.original,
                row.ours
            );
        }
    }

    #[test]
    fn the_readme_shows_this_table() {
        let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
        for line in markdown().lines() {
            assert!(readme.contains(line), "the README lacks: {line}");
        }
    }
}
