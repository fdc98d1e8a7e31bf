//! Reading the reference figures in tests: `tests/golden`, or the folder that `HUMEA_GOLDEN` names.

use std::collections::BTreeMap;
use std::path::PathBuf;

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
