//! What is said of samples: quantiles, intervals by bootstrap, outliers, two modes.
//!
//! Nothing here assumes a distribution: run times have long tails, and some runtimes have two modes.

pub(crate) mod bootstrap;
pub(crate) mod difference;
mod shape;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is said of the samples of one figure under one runtime, in the figure's unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Summary {
    pub(crate) mean: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
    /// The median, which all ratios are of.
    pub(crate) p50: f64,
    pub(crate) p95: f64,
    pub(crate) p99: f64,
    /// 95 % confidence interval of the median, by bootstrap.
    pub(crate) ci95: [f64; 2],
    /// Samples that lie more than 1.5 interquartile ranges outside of the quartiles.
    pub(crate) outliers: usize,
    /// The medians of two groups that the samples fall into, where they do: one number then says little.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) modes: Option<[f64; 2]>,
}

impl Summary {
    /// `None` without samples.
    pub(crate) fn of(samples: &[f64]) -> Option<Self> {
        let sorted = sorted(samples);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        Some(Self {
            mean: sorted.iter().sum::<f64>() / sorted.len() as f64,
            min,
            max,
            p50: quantile(&sorted, 0.5),
            p95: quantile(&sorted, 0.95),
            p99: quantile(&sorted, 0.99),
            ci95: bootstrap::median(samples, 0.95),
            outliers: shape::outliers(&sorted),
            modes: shape::modes(&sorted),
        })
    }
}

/// The finite ones, in order.
fn sorted(samples: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = samples.iter().copied().filter(|sample| sample.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// Linear between neighbours (type 7 of Hyndman and Fan, as R and NumPy have it); NaN of nothing.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = share * last as f64;
    let below = place.floor() as usize;
    let at = |index: usize| sorted.get(index.min(last)).copied().unwrap_or(f64::NAN);
    at(below) + (at(below + 1) - at(below)) * (place - place.floor())
}

/// The median of samples in any order.
pub(crate) fn median(samples: &[f64]) -> f64 {
    quantile(&sorted(samples), 0.5)
}

#[cfg(test)]
mod tests {
    use super::{Summary, quantile};

    #[test]
    fn quantiles_lie_between_neighbours() {
        assert_eq!(quantile(&[1.0, 2.0, 3.0, 4.0], 0.5), 2.5);
        assert_eq!(quantile(&[1.0, 2.0, 3.0], 0.95), 2.9);
        assert_eq!(quantile(&[7.0], 0.99), 7.0);
        assert!(quantile(&[], 0.5).is_nan());
    }

    #[test]
    fn one_sample_is_its_own_interval() {
        let summary = Summary::of(&[3.0]).unwrap();
        assert_eq!((summary.ci95, summary.p99, summary.outliers), ([3.0, 3.0], 3.0, 0));
        assert!(Summary::of(&[]).is_none());
    }

    #[test]
    fn nothing_that_is_no_number_counts() {
        assert_eq!(Summary::of(&[1.0, f64::NAN, 3.0]).unwrap().p50, 2.0);
    }
}
