//! Whether two sets of samples differ.

use super::{bootstrap, median};

/// A ratio of medians with its interval, and how likely such samples are if nothing differs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Difference {
    pub(crate) ratio: f64,
    /// With 95 % confidence.
    pub(crate) interval: [f64; 2],
    /// Of the rank test of Mann and Whitney, two-sided.
    pub(crate) p: f64,
}

/// At most this share of equal pairs may be taken for different ones. Five runs against five reach 0.0122.
pub(crate) const LEVEL: f64 = 0.02;
/// With fewer samples on a side no difference reaches [`LEVEL`].
pub(crate) const FEWEST: usize = 5;

impl Difference {
    /// Of `new` against `old`.
    pub(crate) fn between(old: &[f64], new: &[f64]) -> Self {
        Self {
            ratio: median(new) / median(old),
            interval: bootstrap::ratio(new, old, 0.95),
            p: rank_test(old, new),
        }
    }

    /// Beyond chance, and by more than `threshold` (0.05: five percent).
    pub(crate) fn is_real(&self, threshold: f64) -> bool {
        self.p < LEVEL && (self.ratio - 1.0).abs() > threshold
    }
}

/// The normal approximation with corrections for continuity and ties.
fn rank_test(a: &[f64], b: &[f64]) -> f64 {
    let (m, n) = (a.len() as f64, b.len() as f64);
    if a.is_empty() || b.is_empty() {
        return 1.0;
    }
    let mut all: Vec<(f64, bool)> =
        a.iter().map(|x| (*x, true)).chain(b.iter().map(|x| (*x, false))).collect();
    all.sort_by(|x, y| x.0.total_cmp(&y.0));
    let (mut rank_sum, mut ties, mut seen) = (0.0, 0.0, 0.0);
    for group in all.chunk_by(|x, y| x.0 == y.0) {
        let size = group.len() as f64;
        // Equal samples share the mean of their ranks.
        let rank = seen + f64::midpoint(size, 1.0);
        rank_sum += rank * group.iter().filter(|(_, first)| *first).count() as f64;
        ties += size.powi(3) - size;
        seen += size;
    }
    let u = rank_sum - m * (m + 1.0) / 2.0;
    let total = m + n;
    let variance = m * n / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)));
    if variance <= 0.0 {
        return 1.0;
    }
    let z = ((u - m * n / 2.0).abs() - 0.5).max(0.0) / variance.sqrt();
    2.0 * upper_tail(z)
}

/// P(Z > z) of the standard normal distribution: Abramowitz and Stegun 26.2.17, right to 7.5e-8.
fn upper_tail(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z);
    let series = t
        * (0.319_381_530
            + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    series * (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt()
}

#[cfg(test)]
mod tests {
    use super::{Difference, FEWEST, LEVEL, rank_test, upper_tail};

    fn samples(count: usize, center: f64, seed: u64) -> Vec<f64> {
        let mut state = seed * 2 + 1;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f64 / f64::from(1_u32 << 31)
        };
        (0..count).map(|_| center * (1.0 + 0.03 * (next() + next() - 1.0))).collect()
    }

    #[test]
    fn twenty_percent_are_found_and_equal_runs_are_equal() {
        let mut wrong = 0;
        for seed in 0..200 {
            let old = samples(10, 100.0, seed);
            assert!(Difference::between(&old, &samples(10, 120.0, seed + 1000)).is_real(0.05));
            wrong += usize::from(Difference::between(&old, &samples(10, 100.0, seed + 2000)).is_real(0.0));
        }
        assert!(wrong <= 10, "{wrong} of 200");
    }

    #[test]
    fn the_fewest_samples_suffice_when_they_do_not_overlap() {
        let (low, high) = (samples(FEWEST, 100.0, 1), samples(FEWEST, 150.0, 2));
        assert!(rank_test(&low, &high) < LEVEL);
        assert!(rank_test(&low[..4], &high[..4]) > LEVEL);
    }

    #[test]
    fn known_values() {
        assert!((upper_tail(1.959_964) - 0.025).abs() < 1e-6);
        assert!((rank_test(&[1.0, 1.0], &[1.0, 1.0]) - 1.0).abs() < f64::EPSILON);
        assert!((rank_test(&[], &[1.0]) - 1.0).abs() < f64::EPSILON);
    }
}
