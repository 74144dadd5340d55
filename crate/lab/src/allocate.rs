//! Which matrix gets how many bits: `min Σ a · t(format)` under `Σ bytes(format) ≤ budget`, by a
//! [`Map`] of what each costs.
//!
//! Of each matrix only formats on the lower convex hull of cost over bytes are worth having. All begin with the smallest; then the
//! step that saves the most for its bytes is taken, again and again, as long as one fits. That is the Lagrangian's answer, and what
//! is left of the budget is filled up with smaller steps (as in llama.cpp's `--target-bpw`, ggml-org/llama.cpp#15550).

use std::collections::BTreeMap;

use hearth_engine::quant::Format;

use crate::error::{Error, Result};
use crate::sensitivity::{Map, Tensor};

/// A format of each matrix, by name.
pub type Mix = BTreeMap<String, Format>;

/// The mix that is expected to diverge least of all whose matrices take at most `budget` bytes. `choices` are a matrix's; those that
/// the map does not know are left out, and where it knows none, it is all that it knows. Errors where even the smallest take more.
pub fn allocate(map: &Map, choices: &dyn Fn(&Tensor) -> Vec<Format>, budget: usize) -> Result<Mix> {
    let mut paths: Vec<Path> = map.tensors.iter().map(|tensor| Path::new(tensor, &choices(tensor))).collect();
    let mut left = budget as i64 - paths.iter().map(|path| path.points[0].bytes as i64).sum::<i64>();
    if left < 0 {
        let numbers: usize = map.tensors.iter().map(|tensor| tensor.numbers).sum();
        let bits = |bytes: i64| 8.0 * bytes as f64 / numbers as f64;
        return Err(Error::Unfit(format!(
            "{:.2} bits a number are too few: with these formats it takes {:.2}",
            bits(budget as i64),
            (100.0 * bits(budget as i64 - left)).ceil() / 100.0
        )));
    }
    loop {
        let steps = paths.iter().enumerate().filter_map(|(i, path)| Some((i, path.step()?)));
        let fitting = steps.filter(|(_, step)| step.bytes as i64 <= left);
        // Of equal ones the first.
        let Some((i, step)) = fitting.reduce(|best, other| if other.1.gain() > best.1.gain() { other } else { best })
        else {
            break;
        };
        left -= step.bytes as i64;
        paths[i].at += 1;
    }
    let chosen = paths.iter().map(|path| path.points[path.at].format);
    Ok(map.tensors.iter().map(|tensor| tensor.name.clone()).zip(chosen).collect())
}

/// A format of a matrix.
#[derive(Clone, Copy)]
struct Point {
    format: Format,
    bytes: usize,
    cost: f64,
}

/// From one point to the next: what it takes and what it saves.
#[derive(Clone, Copy)]
struct Step {
    bytes: usize,
    saved: f64,
}

impl Step {
    fn gain(self) -> f64 {
        self.saved / self.bytes as f64
    }
}

fn between(a: Point, b: Point) -> Step {
    Step { bytes: b.bytes - a.bytes, saved: a.cost - b.cost }
}

/// The formats of a matrix that are worth having, from the smallest on, and which of them it has.
struct Path {
    points: Vec<Point>,
    at: usize,
}

impl Path {
    fn new(tensor: &Tensor, choices: &[Format]) -> Path {
        let known = tensor.bytes.iter().map(|(name, &bytes)| {
            let format = Format::from_name(name).expect("maps know formats");
            Point { format, bytes, cost: tensor.cost(format) }
        });
        let mut all: Vec<Point> = known.collect();
        if all.iter().any(|point| choices.contains(&point.format)) {
            all.retain(|point| choices.contains(&point.format));
        }
        all.sort_by(|a, b| a.bytes.cmp(&b.bytes).then(a.cost.total_cmp(&b.cost)));
        let mut points: Vec<Point> = Vec::new();
        for point in all {
            if points.last().is_some_and(|last| point.bytes == last.bytes || point.cost >= last.cost) {
                continue;
            }
            // What lies above the line from its neighbours to this one is not worth having.
            while let [.., a, b] = points[..]
                && between(a, b).gain() <= between(b, point).gain()
            {
                points.pop();
            }
            points.push(point);
        }
        Path { points, at: 0 }
    }

    fn step(&self) -> Option<Step> {
        Some(between(self.points[self.at], *self.points.get(self.at + 1)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two matrices of one block, the second of which matters twice as much.
    fn map() -> Map {
        let formats = [
            (Format::Q4_0, 0.1),
            (Format::IQ4_NL, 0.05),
            (Format::Q5_0, 0.06),
            (Format::Q5_1, 0.04),
            (Format::Q8_0, 0.001),
        ];
        let tensor = |name: &str, sensitivity| Tensor {
            name: name.into(),
            layer: Some(0),
            kind: name.into(),
            numbers: 32,
            measured: true,
            sensitivity,
            errors: formats.iter().map(|(format, error)| (format.name(), *error)).collect(),
            bytes: formats.iter().map(|(format, _)| (format.name(), format.block_bytes())).collect(),
        };
        Map { layers: 1, tokens: 0, tensors: vec![tensor("a", 1.0), tensor("b", 2.0)] }
    }

    #[test]
    fn only_what_is_worth_its_bytes_is_taken() {
        let all = |_: &Tensor| vec![Format::Q4_0, Format::IQ4_NL, Format::Q5_0, Format::Q5_1, Format::Q8_0];
        let given = |budget| allocate(&map(), &all, budget).unwrap().into_values().collect::<Vec<_>>();
        // Of as many bytes the better; nothing that costs more than a smaller one; nothing above the line to a larger one.
        assert_eq!(given(36), [Format::IQ4_NL, Format::IQ4_NL]);
        assert_eq!(given(51), [Format::IQ4_NL, Format::IQ4_NL]);
        assert_eq!(given(52), [Format::IQ4_NL, Format::Q8_0]);
        assert_eq!(given(68), [Format::Q8_0, Format::Q8_0]);
        assert!(allocate(&map(), &all, 35).unwrap_err().to_string().contains("4.38 bits a number are too few"));
        let worse = |_: &Tensor| vec![Format::IQ4_NL, Format::Q5_0];
        let stays = allocate(&map(), &worse, 44).unwrap();
        assert_eq!(stays.into_values().collect::<Vec<_>>(), [Format::IQ4_NL; 2]);
        let five = |_: &Tensor| vec![Format::Q5_0];
        assert_eq!(allocate(&map(), &five, 44).unwrap().into_values().collect::<Vec<_>>(), [Format::Q5_0; 2]);
    }
}
