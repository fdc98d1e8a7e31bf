#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use super::*;
use crate::golden::Figures;

#[test]
fn golden_bound_and_learning_loss() {
    let figures = Figures::read("club");
    let mut parameters = Parameters::default();
    let dim = figures.get("z1").size()[1];
    let mut stream = crate::noise::Randomness::Recorded.stream(crate::noise::Purpose::Parameters, None, 0);
    let estimator = Estimator::new(Modality::Image, dim, &mut parameters, &mut stream, Device::Cpu);
    let mut values = std::collections::BTreeMap::new();
    for (ours, recorded) in [("mean", "p_mu"), ("log_variance", "p_logvar")] {
        for (to, from) in [(0, 0), (1, 2)] {
            for kind in ["weight", "bias"] {
                let tensor = figures.get(&format!("param.{recorded}.{from}.{kind}"));
                values.insert(format!("estimator.image.{ours}.{to}.{kind}"), tensor);
            }
        }
    }
    parameters.assign(&values, std::path::Path::new("club")).unwrap();
    let (x, y) = (figures.leaf("z1"), figures.leaf("z2"));
    let bound = estimator.upper_bound(&x, &y, &figures.get("permutation"));
    figures.assert_value("upper_bound", &bound);
    bound.backward();
    figures.assert_gradient("z1", &x);
    figures.assert_gradient("z2", &y);
    figures.assert_value("learning_loss", &estimator.learning_loss(&x.detach(), &y.detach()));
}
