//! The stages of one run: make the store, add the text columns, train and evaluate. Each is the command a person would
//! type, run as a process of its own, and skipped where its result is there already.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use data_process::store::Store;

use crate::config::Config;
use crate::modality::Modality;
use crate::run::finished;

/// One command of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// What it is for: `prep`, `embed-text` or `train`.
    pub name: &'static str,
    /// The arguments of `humea`.
    pub arguments: Vec<OsString>,
    /// Why nothing needs to be done, if so.
    pub skip: Option<String>,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.skip {
            Some(why) => write!(f, "skip   {:<10} {why}", self.name),
            None => {
                write!(f, "do     {:<10} humea {}", self.name, self.arguments.join(OsStr::new(" ")).to_string_lossy())
            }
        }
    }
}

/// The stages that prepare a configuration's store; a store that is there is not made again.
pub fn preparation(config: &Config) -> Vec<Stage> {
    let store = &config.data.store;
    let mut stages = Vec::new();
    if !config.data.prep.is_empty() {
        let mut arguments = vec![OsString::from("prep")];
        arguments.extend(config.data.prep.iter().map(OsString::from));
        arguments.extend(["--out".into(), store.into()]);
        let skip = store.exists().then(|| format!("{} is there", store.display()));
        stages.push(Stage { name: "prep", arguments, skip });
    }
    if !config.data.plm.is_empty() {
        let arguments: [OsString; 5] =
            ["embed-text".into(), "--store".into(), store.into(), "--plm".into(), (&config.data.plm).into()];
        let skip = embedded(store, &config.data.plm).then(|| format!("text columns by {} are there", config.data.plm));
        stages.push(Stage { name: "embed-text", arguments: arguments.into(), skip });
    }
    stages
}

/// Whether both text columns are there, made by that model.
fn embedded(store: &Path, plm: &str) -> bool {
    let Ok(store) = Store::open(store) else { return false };
    [Modality::RelationText, Modality::AttributeText].iter().all(|modality| {
        let column = store.vector_columns().iter().find(|column| column.name == modality.name());
        column.and_then(|column| column.provenance.as_ref()).is_some_and(|p| p.model.as_deref() == Some(plm))
    })
}

/// The stage that trains and evaluates; a finished run of the same configuration on the same store is not run again, and
/// one that was begun goes on.
pub fn training(config: &Config, config_file: &Path, folder: &Path) -> Stage {
    let arguments: [OsString; 6] =
        ["train".into(), "--config".into(), config_file.into(), "--run-dir".into(), folder.into(), "--resume".into()];
    let skip = finished::summary(config, folder).map(|_| format!("{} is finished", folder.display()));
    Stage { name: "train", arguments: arguments.into(), skip }
}

/// The folder of a configuration's run among others.
pub fn folder(config: &Config, out: &Path) -> PathBuf {
    out.join(config.folder_name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;

    #[test]
    fn a_store_that_is_not_there_is_made_and_embedded_first() {
        let mut config = Layers::defaults().unwrap().config().unwrap();
        assert!(preparation(&config).is_empty(), "a configuration that names no source prepares nothing");
        config.data.store = PathBuf::from("no/such/store.parquet");
        config.data.prep = vec!["synthetic".to_owned(), "--entities".to_owned(), "9".to_owned()];
        config.data.plm = "hashing".to_owned();
        let stages: Vec<String> = preparation(&config).iter().map(ToString::to_string).collect();
        assert_eq!(stages[0], "do     prep       humea prep synthetic --entities 9 --out no/such/store.parquet");
        assert_eq!(stages[1], "do     embed-text humea embed-text --store no/such/store.parquet --plm hashing");
        let train = training(&config, Path::new("c.toml"), Path::new("runs/x"));
        assert_eq!(train.to_string(), "do     train      humea train --config c.toml --run-dir runs/x --resume");
    }
}
