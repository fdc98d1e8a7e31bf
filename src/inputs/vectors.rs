//! A vector column as features: mapped, its rows' lengths measured in one pass, missing rows imputed or masked.

use data_process::store::Vectors;
use tch::{Device, Kind, Tensor};

use super::{InputsError, Missing, mapped};
use crate::modality::Modality;
use crate::model::features::{self, DenseFeatures};
use crate::noise::{self, Purpose, Randomness};
use crate::transfer;

/// Rows looked at together: two megabytes of the widest, so that every pass over them finds them in the cache.
const CHUNK: i64 = 64;

/// What becomes of entities without a vector.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fill {
    pub(super) missing: Missing,
    pub(super) seed: u64,
    pub(super) modality: Modality,
}

/// The features of a column, its vectors in the kind and on the device of `options`.
pub(super) fn dense(
    column: Vectors,
    entities: usize,
    fill: Fill,
    options: (Kind, Device),
) -> Result<DenseFeatures, InputsError> {
    let (kind, device) = options;
    let width = column.width();
    let (values, rows) = column.into_static()?;
    let present = mapped::tensor(values, width);
    let absent = absent(&rows, entities);
    let draw = fill.missing == Missing::Impute && !absent.is_empty();
    let Survey { lengths, columns } = survey(&present, draw);
    finite(&lengths, &rows, fill.modality)?;
    let imputed = match columns {
        Some(columns) => imputed(&columns.mean(), &columns.deviation(), absent.len(), fill, kind),
        None => Tensor::zeros([0, width as i64], (kind, Device::Cpu)),
    };
    let drawn = if draw { absent.as_slice() } else { &[] };
    let mask = (fill.missing == Missing::Mask && !absent.is_empty()).then(|| mask(&rows, entities, device));
    let slots = features::slots(&ids(&rows, device), &transfer::slice(drawn, device), entities as i64);
    let (width, scale) = (width as i64, lengths.clamp_min(1e-12).reciprocal());
    Ok(if device.is_cuda() {
        let (present, scale) = joined(&present, &scale, &imputed, device);
        DenseFeatures { width, imputed: present.narrow(0, 0, 0), present, scale, slots, mask }
    } else {
        DenseFeatures { width, imputed, present: present.to_kind(kind), scale: Some(scale), slots, mask }
    })
}

/// Present rows and imputed ones behind them, in the kind of these, copied to a GPU: of unit length in float32. In another kind they
/// are rounded as they are, as a CPU's are, and scaled behind the products.
fn joined(present: &Tensor, scale: &Tensor, imputed: &Tensor, device: Device) -> (Tensor, Option<Tensor>) {
    let [first, rest] = [present, imputed].map(|rows| rows.size()[0]);
    let all = Tensor::empty([first + rest, imputed.size()[1]], (imputed.kind(), device));
    let scales = Tensor::cat(&[scale, &Tensor::ones([rest], (Kind::Float, Device::Cpu))], 0);
    let rounded = imputed.kind() != Kind::Float;
    let now = if rounded { scales.ones_like() } else { scales.shallow_clone() }.unsqueeze(1);
    for (rows, start) in [(present, 0), (imputed, first)] {
        let count = rows.size()[0];
        transfer::rows(rows, &now.narrow(0, start, count), &all.narrow(0, start, count));
    }
    (all, rounded.then(|| transfer::send(&scales, device)))
}

fn absent(rows: &[u32], entities: usize) -> Vec<i64> {
    let mut present = rows.iter().copied().peekable();
    (0..entities as u32).filter(|id| present.next_if_eq(id).is_none()).map(i64::from).collect()
}

fn mask(rows: &[u32], entities: usize, device: Device) -> Tensor {
    let mut mask = vec![0.0_f32; entities];
    for row in rows {
        mask[*row as usize] = 1.0;
    }
    transfer::slice(&mask, device)
}

fn ids(rows: &[u32], device: Device) -> Tensor {
    transfer::slice(&rows.iter().map(|row| i64::from(*row)).collect::<Vec<_>>(), device)
}

/// What one pass over a column finds.
struct Survey {
    /// `[P]`, ‖row‖.
    lengths: Tensor,
    columns: Option<Columns>,
}

/// Sums of each column, in double precision.
struct Columns {
    rows: i64,
    sum: Tensor,
    squares: Tensor,
}

impl Columns {
    fn mean(&self) -> Tensor {
        &self.sum / self.rows as f64
    }

    /// NumPy's `std`: of the population.
    fn deviation(&self) -> Tensor {
        (&self.squares / self.rows as f64 - self.mean().square()).clamp_min(0.0).sqrt()
    }
}

/// In double precision, in one buffer: large tensors made and dropped for every chunk, among small ones that stay, would leave
/// holes that none of the next fits.
fn survey(present: &Tensor, with_columns: bool) -> Survey {
    let (rows, width) = (present.size()[0], present.size()[1]);
    let double = |size: &[i64]| Tensor::zeros(size, (Kind::Double, Device::Cpu));
    let (buffer, lengths) = (double(&[CHUNK, width]), double(&[rows]));
    let mut columns = with_columns.then(|| Columns { rows, sum: double(&[width]), squares: double(&[width]) });
    for (chunk, mut lengths) in present.split(CHUNK, 0).iter().zip(lengths.split(CHUNK, 0)) {
        let mut numbers = buffer.narrow(0, 0, chunk.size()[0]);
        numbers.copy_(chunk);
        if let Some(columns) = &mut columns {
            columns.sum += numbers.sum_dim_intlist([0_i64].as_slice(), false, Kind::Double);
        }
        let squares = numbers.square_();
        if let Some(columns) = &mut columns {
            columns.squares += squares.sum_dim_intlist([0_i64].as_slice(), false, Kind::Double);
        }
        lengths.copy_(&squares.sum_dim_intlist([1_i64].as_slice(), false, Kind::Double));
    }
    Survey { lengths: lengths.sqrt().to_kind(Kind::Float), columns }
}

fn finite(lengths: &Tensor, rows: &[u32], modality: Modality) -> Result<(), InputsError> {
    let lengths = Vec::<f32>::try_from(lengths)?;
    match lengths.iter().position(|length| !length.is_finite()) {
        Some(row) => Err(InputsError::NotFinite { modality, entity: rows[row] }),
        None => Ok(()),
    }
}

/// Rows drawn from N(mean, deviation) column by column, then brought to unit length, in a kind. A few at a time: there may be
/// several gigabytes of them.
fn imputed(mean: &Tensor, deviation: &Tensor, rows: usize, fill: Fill, kind: Kind) -> Tensor {
    let [mean, deviation] = [mean, deviation].map(|numbers| numbers.to_kind(Kind::Float));
    let mut stream = Randomness::Seeded(fill.seed).stream(Purpose::Imputation, Some(fill.modality), 0);
    let all = Tensor::empty([rows as i64, mean.size()[0]], (kind, Device::Cpu));
    for mut part in all.split(CHUNK, 0) {
        let mut drawn = noise::normal(&mut stream, &part.size(), 1.0);
        drawn *= &deviation;
        drawn += &mean;
        let lengths = drawn.square().sum_dim_intlist([1_i64].as_slice(), true, Kind::Float).sqrt();
        drawn /= lengths.clamp_min(1e-12);
        part.copy_(&drawn);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILL: Fill = Fill { missing: Missing::Impute, seed: 7, modality: Modality::Image };

    #[test]
    fn one_pass_finds_lengths_means_and_deviations() {
        let present = Tensor::from_slice(&[3.0_f32, 4.0, 5.0, 12.0]).view([2, 2]);
        let Survey { lengths, columns } = survey(&present, true);
        let columns = columns.unwrap();
        assert_eq!(Vec::<f32>::try_from(lengths).unwrap(), [5.0, 13.0]);
        assert_eq!(Vec::<f64>::try_from(columns.mean()).unwrap(), [4.0, 8.0]);
        assert_eq!(Vec::<f64>::try_from(columns.deviation()).unwrap(), [1.0, 4.0]);
    }

    #[test]
    fn imputed_rows_have_unit_length_the_columns_distribution_and_their_own_seed() {
        let (mean, deviation) = (Tensor::from_slice(&[10.0_f64, 0.0]), Tensor::from_slice(&[0.0_f64, 0.0]));
        let rows = imputed(&mean, &deviation, 3, FILL, Kind::Float);
        assert_eq!(Vec::<f32>::try_from(rows.flatten(0, 1)).unwrap(), [1.0, 0.0, 1.0, 0.0, 1.0, 0.0]);
        let deviation = Tensor::from_slice(&[1.0_f64, 1.0]);
        let again = |fill| imputed(&mean, &deviation, 4, fill, Kind::Float);
        assert_eq!(again(FILL), again(FILL));
        assert_ne!(again(FILL), again(Fill { modality: Modality::RelationText, ..FILL }));
        assert_ne!(again(FILL), again(Fill { seed: 8, ..FILL }));
    }

    #[test]
    fn imputed_rows_are_drawn_from_one_stream_whatever_is_drawn_at_a_time() {
        let (rows, width) = (2 * CHUNK + 1, 5);
        let mean = Tensor::arange(width, (Kind::Double, Device::Cpu)) * 0.3;
        let deviation = &mean + 0.7;
        let mut stream = Randomness::Seeded(FILL.seed).stream(Purpose::Imputation, Some(FILL.modality), 0);
        let drawn = noise::normal(&mut stream, &[rows, width], 1.0) * deviation.to_kind(Kind::Float);
        let drawn = drawn + mean.to_kind(Kind::Float);
        let lengths = drawn.square().sum_dim_intlist([1_i64].as_slice(), true, Kind::Float).sqrt();
        let whole = drawn / lengths;
        assert_eq!(imputed(&mean, &deviation, rows as usize, FILL, Kind::Float), whole);
        assert_eq!(imputed(&mean, &deviation, rows as usize, FILL, Kind::BFloat16), whole.to_kind(Kind::BFloat16));
    }

    #[test]
    fn absent_entities_are_those_without_a_row() {
        assert_eq!(absent(&[1, 3], 5), [0, 2, 4]);
        assert_eq!(Vec::<f32>::try_from(mask(&[1, 3], 5, Device::Cpu)).unwrap(), [0.0, 1.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn a_number_that_is_not_finite_is_traced_to_its_entity() {
        let lengths = Tensor::from_slice(&[1.0_f32, f32::NAN]);
        let error = finite(&lengths, &[4, 9], Modality::Image).unwrap_err();
        assert!(matches!(error, InputsError::NotFinite { modality: Modality::Image, entity: 9 }));
    }
}
