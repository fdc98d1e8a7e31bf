//! VGG16, functional: the plan of channels is read from the shapes of the weights, so networks of other widths work.
//!
//! Names of both worlds are accepted: timm (`pre_logits.fc1`, `pre_logits.fc2`, `head.fc`, the first two as
//! convolutions) and torchvision (`classifier.0`, `.3`, `.6`). Source: Simonyan and Zisserman 2015, configuration D.

use std::collections::HashMap;
use std::str::FromStr;

use data_process::fault::{Fault, Kind as FaultKind};
use tch::{Device, Tensor};

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
    /// A tensor is missing.
    #[error("the weights have no {0}, so they are not those of VGG16 (timm or torchvision names)")]
    Missing(String),
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
            Self::Missing(_) | Self::Shape { .. } => FaultKind::Data,
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
    pub fn new(tensors: &HashMap<String, Tensor>, device: Device) -> Result<Self, VggError> {
        let convolutions = convolutions(tensors, device)?;
        let channels = convolutions.last().map_or(0, |last| last.affine.weight.size()[0]);
        let fc6 = connected(tensors, ["pre_logits.fc1", "classifier.0"], channels * GRID * GRID, device)?;
        let fc7 = connected(tensors, ["pre_logits.fc2", "classifier.3"], fc6.weight.size()[0], device)?;
        let logits = connected(tensors, ["head.fc", "classifier.6"], fc7.weight.size()[0], device);
        // A network cut off below its head still gives fc7.
        let logits = match logits {
            Err(VggError::Missing(_)) => None,
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
            (Layer::Logits, None) => Err(VggError::Missing("head.fc.weight".to_owned())),
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
fn convolutions(tensors: &HashMap<String, Tensor>, device: Device) -> Result<Vec<Convolution>, VggError> {
    let mut places: Vec<u32> = tensors.keys().filter_map(|name| place(name)).collect();
    places.sort_unstable();
    if places.first() != Some(&0) {
        return Err(VggError::Missing("features.0.weight".to_owned()));
    }
    let (mut found, mut channels) = (Vec::new(), 3);
    for (at, place) in places.iter().enumerate() {
        let name = format!("features.{place}");
        let affine = affine(tensors, &name, device)?;
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
fn connected(
    tensors: &HashMap<String, Tensor>,
    names: [&str; 2],
    inputs: i64,
    device: Device,
) -> Result<Affine, VggError> {
    let known = names.into_iter().find(|name| tensors.contains_key(&format!("{name}.weight")));
    let name = known.ok_or_else(|| VggError::Missing(format!("{}.weight", names[0])))?;
    let Affine { weight, bias } = affine(tensors, name, device)?;
    let shape = weight.size();
    if shape[1..].iter().product::<i64>() != inputs {
        let expected = format!("{inputs} inputs");
        return Err(VggError::Shape { name: format!("{name}.weight"), found: shape, expected });
    }
    Ok(Affine { weight: weight.f_reshape([shape[0], inputs])?, bias })
}

fn affine(tensors: &HashMap<String, Tensor>, name: &str, device: Device) -> Result<Affine, VggError> {
    let get = |part: &str| {
        let name = format!("{name}.{part}");
        let tensor = tensors.get(&name).ok_or_else(|| VggError::Missing(name.clone()))?;
        Ok::<_, VggError>(tensor.f_to_device(device)?)
    };
    let (weight, bias) = (get("weight")?, get("bias")?);
    if bias.size() != weight.size()[..1] {
        let expected = format!("the bias of {:?}", weight.size());
        return Err(VggError::Shape { name: format!("{name}.bias"), found: bias.size(), expected });
    }
    Ok(Affine { weight, bias })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vision::{pixels, weights};
    use std::path::{Path, PathBuf};

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vision").join(name)
    }

    fn tensors(name: &str) -> HashMap<String, Tensor> {
        weights::read(&fixture(name)).unwrap()
    }

    /// Figures of the same network in PyTorch, on the same pixels.
    #[test]
    fn a_small_random_vgg_agrees_with_pytorch() {
        let expected = tensors("figures.safetensors");
        let crop = image::open(fixture("crop_pil.png")).unwrap().to_rgb8();
        let pixels = pixels::normalised(crop.as_raw());
        let batch = Tensor::from_slice(&pixels).reshape([1, 3, pixels::SIDE as i64, pixels::SIDE as i64]);
        for name in ["torchvision.bin", "timm.safetensors"] {
            let vgg = Vgg::new(&tensors(name), Device::Cpu).unwrap();
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
        let error = Vgg::new(&tensors, Device::Cpu).unwrap_err();
        assert!(matches!(&error, VggError::Missing(name) if name == "pre_logits.fc2.weight"), "{error}");
        tensors.insert("pre_logits.fc2.weight".to_owned(), fc7.narrow(1, 0, 3));
        assert!(matches!(Vgg::new(&tensors, Device::Cpu), Err(VggError::Shape { .. })));
        tensors.insert("features.2.weight".to_owned(), Tensor::zeros([4], (tch::Kind::Float, Device::Cpu)));
        assert!(matches!(Vgg::new(&tensors, Device::Cpu), Err(VggError::Shape { .. })));
        assert!(matches!(Vgg::new(&HashMap::new(), Device::Cpu), Err(VggError::Missing(_))));
    }

    #[test]
    fn a_network_without_its_head_still_gives_fc7() {
        let mut tensors = tensors("timm.safetensors");
        tensors.retain(|name, _| !name.starts_with("head."));
        let vgg = Vgg::new(&tensors, Device::Cpu).unwrap();
        let side = pixels::SIDE as i64;
        let images = Tensor::zeros([2, 3, side, side], (tch::Kind::Float, Device::Cpu));
        assert_eq!(vgg.forward(&images, Layer::Fc7).unwrap().size(), [2, 16]);
        assert!(matches!(vgg.forward(&images, Layer::Logits), Err(VggError::Missing(_))));
    }

    #[test]
    fn layers_have_names() {
        assert_eq!("logits".parse::<Layer>().unwrap(), Layer::Logits);
        assert!("fc8".parse::<Layer>().unwrap_err().to_string().contains("fc7"));
    }
}
