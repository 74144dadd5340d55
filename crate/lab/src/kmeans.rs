//! k-means of numbers: the `k` levels whose weighted error `Σ v_i (x_i − c_{z_i})²` is least.
//!
//! On a line the best clusters are stretches of the ascending numbers, so dynamic programming finds the best of all. With
//! `cost(m, i)` the error of the stretch `m..i` about its mean, `D_k(i) = min_m D_{k−1}(m) + cost(m, i)`; sums of `v`, `v x` and
//! `v x²` up to each number give every cost at once, and the best `m` ascends with `i`, so that halving finds all `D_k` in
//! `O(n log n)`. Wang & Song 2011, "Ckmeans.1d.dp"; Grønlund et al. 2017, arXiv:1701.07204.
//!
//! Lloyd's iteration from the starts of TensorFlow's `cluster_weights` is there to be compared with: it ends near its start.

/// Iterations after which Lloyd's is stopped, if it still moves.
const ROUNDS: usize = 100;

/// How levels are found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum How {
    /// The best there are.
    Exact,
    /// By Lloyd's iteration.
    Lloyd(Start),
}

impl How {
    /// The same for one of several rows: random starts are drawn for each apart.
    pub fn of_row(self, row: usize) -> How {
        let seed = |seed: u64| seed.wrapping_add(row as u64);
        match self {
            How::Lloyd(Start::KmeansPlusPlus(first)) => How::Lloyd(Start::KmeansPlusPlus(seed(first))),
            How::Lloyd(Start::Random(first)) => How::Lloyd(Start::Random(seed(first))),
            other => other,
        }
    }
}

/// Where Lloyd's iteration begins. Random ones have a seed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Start {
    /// Evenly from the least to the largest number.
    Linear,
    /// So that each level begins with about as much weight.
    DensityBased,
    /// Numbers drawn by their squared distance to those drawn before. Arthur & Vassilvitskii 2007.
    KmeansPlusPlus(u64),
    /// Anywhere between the least and the largest number.
    Random(u64),
}

/// `count` levels, ascending, for numbers with weights; fewer, if there are fewer different numbers. Numbers of no weight count
/// for nothing, unless all are such.
///
/// With `zero`, one of them is zero, and the others are shared out between negative and positive numbers by how many there are,
/// as TensorFlow does to preserve sparsity.
pub fn levels(values: &[f32], weights: &[f32], count: usize, how: How, zero: bool) -> Vec<f32> {
    if !zero {
        return Points::new(values, weights).levels(count, how);
    }
    let side = |keep: fn(f32) -> bool| -> (Vec<f32>, Vec<f32>) {
        values.iter().zip(weights).filter(|(x, _)| keep(**x)).map(|(x, v)| (*x, *v)).unzip()
    };
    let (negative, positive) = (side(|x| x < 0.0), side(|x| x > 0.0));
    let others = negative.0.len() + positive.0.len();
    let share = negative.0.len() as f64 / others.max(1) as f64;
    let below = ((count - 1) as f64 * share).round() as usize;
    let mut levels = Points::new(&negative.0, &negative.1).levels(below, how);
    levels.push(0.0);
    levels.extend(Points::new(&positive.0, &positive.1).levels(count - 1 - below, how));
    levels
}

/// Numbers with weights, to be clustered.
pub struct Points {
    /// Ascending, each once.
    values: Vec<f32>,
    /// Of the first `i` numbers, `Σ v`, `Σ v x` and `Σ v x²`.
    sums: Vec<[f64; 3]>,
}

impl Points {
    /// Of numbers and their weights; numbers of no weight are left out, unless all are such.
    pub fn new(values: &[f32], weights: &[f32]) -> Points {
        let pairs = values.iter().copied().zip(weights.iter().copied());
        let mut pairs: Vec<(f32, f32)> = match weights.iter().any(|v| *v > 0.0) {
            true => pairs.filter(|(_, v)| *v > 0.0).collect(),
            false => pairs.map(|(x, _)| (x, 1.0)).collect(),
        };
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut points = Points { values: Vec::with_capacity(pairs.len()), sums: vec![[0.0; 3]] };
        for (x, v) in pairs {
            let (wide, v) = (f64::from(x), f64::from(v));
            let [sum, first, second] = points.sums[points.sums.len() - 1];
            let sums = [sum + v, first + v * wide, second + v * wide * wide];
            if points.values.last() == Some(&x) {
                points.sums.pop();
            } else {
                points.values.push(x);
            }
            points.sums.push(sums);
        }
        points
    }

    /// Sums of numbers `m..i`.
    #[inline(always)]
    fn between(&self, m: usize, i: usize) -> [f64; 3] {
        let (end, start) = (self.sums[i], self.sums[m]);
        [end[0] - start[0], end[1] - start[1], end[2] - start[2]]
    }

    /// The error of numbers `m..i` about their mean.
    #[inline(always)]
    fn cost(&self, m: usize, i: usize) -> f64 {
        if i - m < 2 {
            return 0.0;
        }
        let [v, vx, vxx] = self.between(m, i);
        (vxx - vx * vx / v).max(0.0)
    }

    /// The mean of numbers `m..i`.
    fn mean(&self, m: usize, i: usize) -> f32 {
        let [v, vx, _] = self.between(m, i);
        (vx / v) as f32
    }

    /// At most `count` levels, ascending.
    pub fn levels(&self, count: usize, how: How) -> Vec<f32> {
        if self.values.len() <= count {
            return self.values.clone();
        }
        match how {
            _ if count == 0 => Vec::new(),
            How::Exact => self.exact(count),
            How::Lloyd(start) => self.lloyd(self.start(count, start)),
        }
    }

    /// The levels of the least error.
    fn exact(&self, count: usize) -> Vec<f32> {
        let n = self.values.len();
        let mut best: Vec<f64> = (0..=n).map(|i| self.cost(0, i)).collect();
        let mut splits = Vec::with_capacity(count);
        for _ in 1..count {
            let mut next = vec![0.0; n + 1];
            let mut split = vec![0_u32; n + 1];
            self.halve(&best, (0, n), (0, n), &mut next, &mut split);
            best = next;
            splits.push(split);
        }
        let mut levels = Vec::with_capacity(count);
        let mut end = n;
        for start in splits.iter().rev().map(Some).chain([None]) {
            let start = start.map_or(0, |split| split[end] as usize);
            if start < end {
                levels.push(self.mean(start, end));
            }
            end = start;
        }
        levels.reverse();
        levels
    }

    /// `next[i] = min_m best[m] + cost(m, i)` of `i` in `low..=high`, whose best `m` are in `first..=last`: of the middle one by
    /// trying all, of the others by halving.
    fn halve(
        &self,
        best: &[f64],
        (low, high): (usize, usize),
        (first, last): (usize, usize),
        next: &mut [f64],
        split: &mut [u32],
    ) {
        let i = low + (high - low) / 2;
        let (mut least, mut at) = (f64::INFINITY, first);
        for (m, before) in best.iter().enumerate().take(last.min(i) + 1).skip(first) {
            let error = before + self.cost(m, i);
            if error < least {
                (least, at) = (error, m);
            }
        }
        (next[i], split[i]) = (least, at as u32);
        if low < i {
            self.halve(best, (low, i - 1), (first, at), next, split);
        }
        if i < high {
            self.halve(best, (i + 1, high), (at, last), next, split);
        }
    }

    /// Where Lloyd's iteration begins, ascending.
    fn start(&self, count: usize, start: Start) -> Vec<f32> {
        let (low, high) = (self.values[0], self.values[self.values.len() - 1]);
        let share = |i: usize| i as f32 / (count - 1).max(1) as f32;
        let mut levels: Vec<f32> = match start {
            Start::Linear => (0..count).map(|i| low + (high - low) * share(i)).collect(),
            Start::DensityBased => (0..count).map(|i| self.quantile(0.01 + 0.99 * f64::from(share(i)))).collect(),
            Start::KmeansPlusPlus(seed) => self.far_apart(count, &mut fastrand::Rng::with_seed(seed)),
            Start::Random(seed) => {
                let mut random = fastrand::Rng::with_seed(seed);
                (0..count).map(|_| low + (high - low) * random.f32()).collect()
            }
        };
        levels.sort_by(f32::total_cmp);
        levels
    }

    /// The number up to which this share of the weight lies.
    fn quantile(&self, share: f64) -> f32 {
        let all = self.sums[self.values.len()][0];
        let i = self.sums[1..].partition_point(|sums| sums[0] < all * share);
        self.values[i.min(self.values.len() - 1)]
    }

    /// Numbers drawn by weight and squared distance to those drawn before.
    fn far_apart(&self, count: usize, random: &mut fastrand::Rng) -> Vec<f32> {
        let mut drawn = vec![self.quantile(random.f64())];
        let mut distances = vec![f64::INFINITY; self.values.len()];
        while drawn.len() < count {
            let newest = f64::from(drawn[drawn.len() - 1]);
            let mut sums = Vec::with_capacity(distances.len());
            let mut sum = 0.0;
            for (i, (x, distance)) in self.values.iter().zip(&mut distances).enumerate() {
                *distance = distance.min((f64::from(*x) - newest).powi(2));
                sum += *distance * self.between(i, i + 1)[0];
                sums.push(sum);
            }
            let wanted = sum * random.f64();
            drawn.push(self.values[sums.partition_point(|sum| *sum <= wanted).min(sums.len() - 1)]);
        }
        drawn
    }

    /// Levels moved to the mean of the numbers nearest to them, until none moves.
    fn lloyd(&self, mut levels: Vec<f32>) -> Vec<f32> {
        let mut bounds = Vec::new();
        for _ in 0..ROUNDS {
            let nearest = self.bounds(&levels);
            if nearest == bounds {
                break;
            }
            bounds = nearest;
            for (level, stretch) in levels.iter_mut().zip(bounds.windows(2)) {
                if stretch[0] < stretch[1] {
                    *level = self.mean(stretch[0], stretch[1]);
                }
            }
        }
        levels
    }

    /// Which numbers are nearest to each of the ascending levels: level `i` has `bounds[i]..bounds[i + 1]`.
    fn bounds(&self, levels: &[f32]) -> Vec<usize> {
        let middle = |pair: &[f32]| self.values.partition_point(|x| *x <= 0.5 * (pair[0] + pair[1]));
        [0].into_iter().chain(levels.windows(2).map(middle)).chain([self.values.len()]).collect()
    }

    /// `Σ v (x − c)²` with the nearest of the ascending levels.
    pub fn error(&self, levels: &[f32]) -> f64 {
        let of = |(level, stretch): (&f32, &[usize])| {
            let ([v, vx, vxx], c) = (self.between(stretch[0], stretch[1]), f64::from(*level));
            vxx - 2.0 * c * vx + c * c * v
        };
        levels.iter().zip(self.bounds(levels).windows(2)).map(of).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made_up(n: usize, seed: u64) -> (Vec<f32>, Vec<f32>) {
        let mut random = fastrand::Rng::with_seed(seed);
        (0..n).map(|_| (random.f32() + random.f32() - random.f32(), 0.01 + random.f32().powi(3))).unzip()
    }

    /// The least error of all ways to give each number one of `k` clusters.
    fn brute_force(values: &[f32], weights: &[f32], k: usize) -> f64 {
        let error = |mut choice: usize| {
            let mut sums = vec![[0.0_f64; 3]; k];
            for (&x, &v) in values.iter().zip(weights) {
                let (x, v) = (f64::from(x), f64::from(v));
                let sums = &mut sums[choice % k];
                (sums[0], sums[1], sums[2]) = (sums[0] + v, sums[1] + v * x, sums[2] + v * x * x);
                choice /= k;
            }
            sums.iter().filter(|sums| sums[0] > 0.0).map(|[v, vx, vxx]| vxx - vx * vx / v).sum()
        };
        (0..k.pow(values.len() as u32)).map(error).fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn exact_levels_are_those_of_brute_force() {
        for (n, k) in [(1, 1), (2, 2), (5, 1), (12, 2), (12, 3), (10, 4), (7, 6), (4, 9)] {
            for seed in 0..4 {
                let (values, weights) = made_up(n, seed);
                let levels = levels(&values, &weights, k, How::Exact, false);
                assert!(levels.len() == k.min(n) && levels.is_sorted());
                let found = Points::new(&values, &weights).error(&levels);
                let least = if n <= k { 0.0 } else { brute_force(&values, &weights, k) };
                assert!((found - least).abs() < 1e-6, "{n} {k}: {found} {least}");
            }
        }
    }

    #[test]
    fn no_start_of_lloyds_ends_below_the_exact_levels() {
        let (values, weights) = made_up(2000, 1);
        let points = Points::new(&values, &weights);
        let exact = points.error(&points.levels(16, How::Exact));
        for start in [Start::Linear, Start::DensityBased, Start::KmeansPlusPlus(3), Start::Random(3)] {
            let levels = points.levels(16, How::Lloyd(start));
            let (begun, ended) = (points.error(&points.start(16, start)), points.error(&levels));
            assert!(levels.len() == 16 && levels.is_sorted(), "{start:?}");
            assert!(exact <= ended && ended < begun, "{start:?}: {begun} {ended} {exact}");
            assert!(ended < 3.0 * exact, "{start:?}: {ended} {exact}");
        }
    }

    #[test]
    fn zero_keeps_a_level_of_its_own() {
        let (mut values, weights) = made_up(500, 2);
        values.iter_mut().step_by(2).for_each(|x| *x = 0.0);
        for how in [How::Exact, How::Lloyd(Start::Linear), How::Lloyd(Start::KmeansPlusPlus(1))] {
            let found = levels(&values, &weights, 8, how, true);
            assert!(found.len() == 8 && found.is_sorted() && found.contains(&0.0), "{how:?}: {found:?}");
        }
        assert!(!levels(&values[1..2], &weights[1..2], 8, How::Exact, false).contains(&0.0));
        assert_eq!(levels(&[0.0, 0.0], &[1.0, 1.0], 8, How::Exact, true), [0.0]);
    }

    #[test]
    fn weightless_numbers_count_for_nothing() {
        assert_eq!(levels(&[1.0, 2.0, 9.0], &[1.0, 1.0, 0.0], 1, How::Exact, false), [1.5]);
        assert_eq!(levels(&[1.0, 2.0, 9.0], &[0.0; 3], 1, How::Exact, false), [4.0]);
        assert_eq!(levels(&[3.0, 3.0, 5.0], &[1.0; 3], 4, How::Exact, false), [3.0, 5.0]);
    }
}
