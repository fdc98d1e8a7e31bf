//! One vector for a text from the vectors of its tokens.

use std::fmt;
use std::str::FromStr;

use tch::{Kind, Tensor};

use super::layers::Batch;

/// How the vectors of a text's tokens become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooling {
    /// The first token's, `[CLS]` in BERT.
    Cls,
    /// The mean over all tokens, special ones included.
    Mean,
    /// The last token's: the only one that has seen the whole text in a model that looks back.
    Last,
    /// The largest value of each float over all tokens.
    Max,
}

impl Pooling {
    const ALL: [(&str, Self); 4] = [("cls", Self::Cls), ("mean", Self::Mean), ("last", Self::Last), ("max", Self::Max)];

    /// `[B, T, d]` → `[B, d]`, in float32.
    pub fn pool(self, hidden: &Tensor, batch: &Batch) -> Tensor {
        let hidden = hidden.to_kind(Kind::Float);
        match self {
            Self::Cls => hidden.select(1, 0),
            Self::Mean => mean(&hidden, batch.mask.as_ref()),
            Self::Last => last(&hidden, batch.mask.as_ref()),
            Self::Max => max(&hidden, batch.mask.as_ref()),
        }
    }
}

fn mean(hidden: &Tensor, mask: Option<&Tensor>) -> Tensor {
    let Some(mask) = mask else {
        return hidden.mean_dim([1_i64].as_slice(), false, Kind::Float);
    };
    // What stands at padding may be anything, so it is replaced rather than multiplied by zero.
    let kept = hidden.masked_fill(&mask.logical_not().unsqueeze(-1), 0.0);
    let tokens = mask.to_kind(Kind::Float).sum_dim_intlist([1_i64].as_slice(), true, Kind::Float);
    kept.sum_dim_intlist([1_i64].as_slice(), false, Kind::Float) / tokens
}

fn last(hidden: &Tensor, mask: Option<&Tensor>) -> Tensor {
    let Some(mask) = mask else { return hidden.select(1, -1) };
    let shape = hidden.size();
    let at = mask.to_kind(Kind::Int64).sum_dim_intlist([1_i64].as_slice(), false, Kind::Int64) - 1;
    let at = at.view([-1, 1, 1]).expand([shape[0], 1, shape[2]], false);
    hidden.gather(1, &at, false).squeeze_dim(1)
}

fn max(hidden: &Tensor, mask: Option<&Tensor>) -> Tensor {
    match mask {
        None => hidden.amax([1_i64].as_slice(), false),
        Some(mask) => {
            let kept = hidden.masked_fill(&mask.logical_not().unsqueeze(-1), f64::NEG_INFINITY);
            kept.amax([1_i64].as_slice(), false)
        }
    }
}

impl fmt::Display for Pooling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(_, pooling)| pooling == self).map_or("", |(name, _)| *name);
        f.write_str(name)
    }
}

/// A name that is not a pooling.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a pooling; write cls, mean, last or max")]
pub struct UnknownPooling(String);

impl FromStr for Pooling {
    type Err = UnknownPooling;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        found.map(|(_, pooling)| *pooling).ok_or_else(|| UnknownPooling(name.to_owned()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn floats(tensor: &Tensor) -> Vec<f32> {
        Vec::try_from(tensor.flatten(0, -1)).unwrap()
    }

    #[test]
    fn padding_takes_no_part() {
        let nothing = f32::NAN;
        let hidden = Tensor::from_slice(&[1.0, 8.0, 3.0, 4.0, nothing, nothing, 5.0, 6.0, 7.0, 8.0, 9.0, 1.0_f32]);
        let hidden = hidden.view([2, 3, 2]);
        let mask = Tensor::from_slice(&[true, true, false, true, true, true]).view([2, 3]);
        let batch = Batch { ids: Tensor::zeros([2, 3], (Kind::Int64, tch::Device::Cpu)), mask: Some(mask) };
        let pooled = |pooling: Pooling| floats(&pooling.pool(&hidden, &batch));
        assert_eq!(pooled(Pooling::Cls), [1.0, 8.0, 5.0, 6.0]);
        assert_eq!(pooled(Pooling::Mean), [2.0, 6.0, 7.0, 5.0]);
        assert_eq!(pooled(Pooling::Last), [3.0, 4.0, 9.0, 1.0]);
        assert_eq!(pooled(Pooling::Max), [3.0, 8.0, 9.0, 8.0]);
    }

    #[test]
    fn without_padding_a_mask_changes_nothing() {
        let hidden = Tensor::randn([3, 4, 5], (Kind::Float, tch::Device::Cpu));
        let ids = || Tensor::zeros([3, 4], (Kind::Int64, tch::Device::Cpu));
        let masked = Batch { ids: ids(), mask: Some(Tensor::ones([3, 4], (Kind::Bool, tch::Device::Cpu))) };
        let bare = Batch { ids: ids(), mask: None };
        for (_, pooling) in Pooling::ALL {
            let difference = pooling.pool(&hidden, &masked) - pooling.pool(&hidden, &bare);
            assert!(difference.abs().max().double_value(&[]) < 1e-6, "{pooling}");
        }
    }

    #[test]
    fn every_name_parses_back_and_an_unknown_one_is_told_the_known() {
        for (name, pooling) in Pooling::ALL {
            assert_eq!((name.parse::<Pooling>().unwrap(), pooling.to_string()), (pooling, name.to_owned()));
        }
        assert!("avg".parse::<Pooling>().unwrap_err().to_string().contains("mean"));
    }
}
