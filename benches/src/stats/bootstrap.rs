//! Confidence intervals by bootstrap: samples are drawn from the samples, again and again, and the median of each draw
//! is looked at. The draws are the same in each run, so that a report made again from its samples says the same.

use super::quantile;

const DRAWS: usize = 2000;

/// xorshift64*: good enough to draw samples with, and the same everywhere.
struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let word = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        ((u128::from(word) * bound as u128) >> 32) as usize
    }

    fn median_of_draw(&mut self, samples: &[f64]) -> f64 {
        let draw: Vec<f64> = samples.iter().map(|_| samples[self.below(samples.len())]).collect();
        super::median(&draw)
    }
}

/// The interval in which the median lies with the given confidence.
pub(crate) fn median(samples: &[f64], confidence: f64) -> [f64; 2] {
    interval(confidence, |draws| draws.median_of_draw(samples), samples.is_empty())
}

/// The interval of the ratio of two medians.
pub(crate) fn ratio(above: &[f64], below: &[f64], confidence: f64) -> [f64; 2] {
    let empty = above.is_empty() || below.is_empty();
    interval(confidence, |draws| draws.median_of_draw(above) / draws.median_of_draw(below), empty)
}

fn interval(confidence: f64, mut draw: impl FnMut(&mut Draws) -> f64, empty: bool) -> [f64; 2] {
    if empty {
        return [f64::NAN; 2];
    }
    let mut draws = Draws(0x9e37_79b9_7f4a_7c15);
    let mut seen: Vec<f64> = (0..DRAWS).map(|_| draw(&mut draws)).collect();
    seen.sort_by(f64::total_cmp);
    let tail = (1.0 - confidence) / 2.0;
    [quantile(&seen, tail), quantile(&seen, 1.0 - tail)]
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_interval_holds_the_median_and_narrows_with_more_samples() {
        let few: Vec<f64> = (0..10).map(f64::from).collect();
        let many: Vec<f64> = (0..200).map(|n| f64::from(n % 10)).collect();
        let width = |samples: &[f64]| {
            let [low, high] = super::median(samples, 0.95);
            assert!(low <= 4.5 && 4.5 <= high, "{low} {high}");
            high - low
        };
        assert!(width(&many) < width(&few));
    }

    #[test]
    fn a_ratio_of_equals_holds_one() {
        let samples: Vec<f64> = (0..20).map(|n| 100.0 + f64::from(n)).collect();
        let [low, high] = super::ratio(&samples, &samples, 0.95);
        assert!(low < 1.0 && 1.0 < high);
    }
}
