//! Reading the reference figures in tests: `tests/golden`, or the folder that `HUMEA_GOLDEN` names. Sizes, counts and
//! seeds are read from the figures, never assumed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;
use tch::{Kind, Tensor};

/// The tensors of one file of figures.
pub(crate) struct Figures {
    file: String,
    tensors: BTreeMap<String, Tensor>,
}

/// The folder of the figures.
pub(crate) fn folder() -> PathBuf {
    std::env::var_os("HUMEA_GOLDEN")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden")), PathBuf::from)
}

/// The names, without the ending, of the files of figures that begin with `prefix`; at least one.
pub(crate) fn family(prefix: &str) -> Vec<String> {
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = files
        .filter(|name| name.starts_with(prefix))
        .filter_map(|name| name.strip_suffix(".safetensors").map(str::to_owned))
        .collect();
    names.sort();
    assert!(!names.is_empty(), "no {prefix}*.safetensors in {}", folder().display());
    names
}

/// The recorded runs on the toy pair: their arguments, losses and metrics.
pub(crate) struct Runs(BTreeMap<String, Value>);

impl Runs {
    /// Reads `trajectory/trajectory.json`.
    pub(crate) fn read() -> Self {
        let text = std::fs::read_to_string(folder().join("trajectory/trajectory.json")).unwrap();
        Self(serde_json::from_str(&text).unwrap())
    }

    fn named<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.keys().map(String::as_str).filter(move |name| name.starts_with(prefix))
    }

    /// The name of the run with all modalities.
    pub(crate) fn base(&self) -> &str {
        self.named("base_").next().unwrap()
    }

    /// The names of the ablated runs.
    pub(crate) fn ablations(&self) -> impl Iterator<Item = &str> {
        self.named("without_")
    }

    /// What was recorded of a run.
    pub(crate) fn get(&self, run: &str) -> &Value {
        &self.0[run]
    }

    /// The value of an argument of a run; that of the authors' program where it was not given.
    pub(crate) fn argument<'a>(&'a self, run: &str, name: &str) -> &'a str {
        let arguments = self.get(run)["args"].as_array().unwrap();
        let given = arguments.iter().position(|argument| argument == name);
        let default = || DEFAULTS.iter().find(|(argument, _)| *argument == name).unwrap().1;
        given.map_or_else(default, |at| arguments[at + 1].as_str().unwrap())
    }

    /// The same as a number.
    pub(crate) fn number(&self, run: &str, name: &str) -> f64 {
        self.argument(run, name).parse().unwrap()
    }
}

/// What the authors' program takes where an argument is not given.
const DEFAULTS: [(&str, &str); 14] = [
    ("--rate", "0.3"),
    ("--check_point", "100"),
    ("--lr", "0.005"),
    ("--topk", "5"),
    ("--without", "0"),
    ("--csls_k", "10"),
    ("--il_start", "500"),
    ("--bsize", "7500"),
    ("--tau_cl", "0.1"),
    ("--tau_al", "1"),
    ("--al_loss", "0.1"),
    ("--cl_loss", "1"),
    ("--mi_loss", "0.0001"),
    ("--reduction", "mean"),
];

impl Figures {
    /// Reads `<name>.safetensors`.
    pub(crate) fn read(name: &str) -> Self {
        let file = format!("{name}.safetensors");
        let tensors = Tensor::read_safetensors(folder().join(&file)).unwrap();
        Self { file, tensors: tensors.into_iter().collect() }
    }

    /// A tensor.
    pub(crate) fn get(&self, name: &str) -> Tensor {
        match self.tensors.get(name) {
            Some(tensor) => tensor.shallow_clone(),
            None => panic!("{} has no {name}; it has {:?}", self.file, self.tensors.keys()),
        }
    }

    /// A tensor as a leaf that gathers gradients.
    pub(crate) fn leaf(&self, name: &str) -> Tensor {
        self.get(name).set_requires_grad(true)
    }

    /// Whether there is such a tensor.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// All tensors.
    pub(crate) fn all(&self) -> &BTreeMap<String, Tensor> {
        &self.tensors
    }

    /// Asserts that `found` equals the figure to 1e-5.
    pub(crate) fn assert_value(&self, name: &str, found: &Tensor) {
        let worst = (found - self.get(name)).abs().max().double_value(&[]);
        assert!(worst <= 1e-5, "{}: {name} differs by {worst:e}", self.file);
    }

    /// Asserts that the gradient of `leaf` equals the figure `<name>.grad`.
    pub(crate) fn assert_gradient(&self, name: &str, leaf: &Tensor) {
        self.assert_gradient_is(name, &leaf.grad());
    }

    /// Asserts that `found` equals the figure `<name>.grad` to 1e-4, relative to the largest entry.
    pub(crate) fn assert_gradient_is(&self, name: &str, found: &Tensor) {
        let expected = self.get(&format!("{name}.grad"));
        let scale = expected.abs().max().double_value(&[]).max(1e-12);
        let worst = (found.reshape(expected.size()) - &expected).abs().max().double_value(&[]) / scale;
        assert!(worst <= 1e-4, "{}: the gradient of {name} differs by {worst:e} relative", self.file);
    }
}

/// The sum of `output` weighted with the recorded cotangent, whose gradient the figures hold.
pub(crate) fn against_cotangent(output: &Tensor, figures: &Figures) -> Tensor {
    (output * figures.get("cotangent")).sum(Kind::Float)
}
