//! Outliers, and whether samples fall into two groups.

use super::quantile;

/// Fewer samples than this do not show two groups.
const FEWEST: usize = 8;
/// Each group has at least this share of the samples.
const SMALLEST_GROUP: f64 = 0.15;
/// The groups' medians are at least so far apart, as a share of the lower one.
const GAP: f64 = 0.1;

/// How many samples lie more than 1.5 interquartile ranges outside of the quartiles (Tukey's fences).
pub(super) fn outliers(sorted: &[f64]) -> usize {
    let (low, high) = (quantile(sorted, 0.25), quantile(sorted, 0.75));
    let fence = 1.5 * (high - low);
    sorted.iter().filter(|sample| **sample < low - fence || **sample > high + fence).count()
}

/// The medians of two groups, where a split explains nearly all of the variance: of the splits of the ordered samples
/// the one with the least variance within the groups is taken (Otsu's).
pub(super) fn modes(sorted: &[f64]) -> Option<[f64; 2]> {
    if sorted.len() < FEWEST {
        return None;
    }
    let smallest = (sorted.len() as f64 * SMALLEST_GROUP).ceil().max(2.0) as usize;
    let within = |split: usize| {
        let (low, high) = sorted.split_at(split);
        spread(low) + spread(high)
    };
    let split = (smallest..=sorted.len() - smallest).min_by(|a, b| within(*a).total_cmp(&within(*b)))?;
    let (low, high) = sorted.split_at(split);
    let medians = [quantile(low, 0.5), quantile(high, 0.5)];
    // Even samples split in the middle leave a quarter of the variance; two real groups leave far less. And there is a gap
    // between the groups that is wider than what is usual within them.
    let explained = 1.0 - within(split) / spread(sorted);
    let between = high.first()? - low.last()?;
    let inside = (quantile(low, 0.9) - quantile(low, 0.1)).max(quantile(high, 0.9) - quantile(high, 0.1));
    let apart = (medians[1] - medians[0]) / medians[0].abs();
    (explained > 0.85 && between > 0.5 * inside && apart > GAP).then_some(medians)
}

/// The sum of squared distances from the mean.
fn spread(samples: &[f64]) -> f64 {
    let mean = samples.iter().sum::<f64>() / samples.len().max(1) as f64;
    samples.iter().map(|sample| (sample - mean).powi(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::{modes, outliers};

    fn sorted(mut samples: Vec<f64>) -> Vec<f64> {
        samples.sort_by(f64::total_cmp);
        samples
    }

    #[test]
    fn two_groups_are_seen() {
        let samples =
            sorted((0..20).map(|n| if n % 3 == 0 { 20.0 } else { 10.0 } + f64::from(n) / 50.0).collect());
        let [low, high] = modes(&samples).unwrap();
        assert!((10.0..11.0).contains(&low) && (20.0..21.0).contains(&high));
    }

    #[test]
    fn even_bell_shaped_and_tailed_samples_are_one_group() {
        assert_eq!(modes(&(0..30).map(f64::from).map(|n| 10.0 + n / 10.0).collect::<Vec<_>>()), None);
        // A sum of uniform numbers is nearly normal.
        let bell =
            (0..100_u64).map(|n| (0..6).map(|k| ((n * 7919 + k * 104_729 + n * n * k) % 1000) as f64).sum());
        assert_eq!(modes(&sorted(bell.collect())), None);
        let tail = sorted((1..50).map(|n| 10.0 + 5.0 / f64::from(n)).collect());
        assert_eq!(modes(&tail), None);
    }

    #[test]
    fn one_far_sample_is_an_outlier_and_no_mode() {
        let samples = sorted((0..20).map(f64::from).map(|n| 10.0 + n / 20.0).chain([100.0]).collect());
        assert_eq!((outliers(&samples), modes(&samples)), (1, None));
    }
}
