//! How the matrices of an operation are cut into pieces for the team.
//!
//! The cut depends on the sizes alone: a piece is whole bands, enough of them to be worth fetching from the counter, and few
//! enough that nobody waits long for the last one.

use std::ops::Range;

use super::codes::ROWS;
use super::matrix::Matrix;
use crate::program::{Linear, LowRank, Op};

/// Bytes of weights in a piece, about: 0.5 µs of decoding, or 30 µs of reading a prompt.
const PIECE_BYTES: usize = 16 << 10;

/// Pieces of a matrix, at most.
const MOST: usize = 256;

/// The pieces of one operation.
#[derive(Default)]
pub struct Plan {
    /// The columns of the output at which pieces begin, and the end of the last.
    bounds: Vec<usize>,
    pieces: Vec<Piece>,
    up: Option<Linear>,
    low_ranks: Vec<LowRank>,
    before: Option<Box<Plan>>,
}

/// Some bands of a matrix.
#[derive(Clone)]
pub struct Piece {
    /// Whose.
    pub linear: Linear,
    /// Which.
    pub bands: Range<usize>,
}

impl Plan {
    /// For one operation; empty if it has no matrices.
    pub fn new(op: &Op, matrices: &[Box<dyn Matrix>]) -> Plan {
        let mut plan = Plan { bounds: vec![0], ..Plan::default() };
        match op {
            Op::NormLinear { linears, activation, .. } if activation.is_gated() => {
                plan.push(linears[0], matrices);
                plan.up = Some(linears[1]);
                plan.low_ranks.extend(linears[1].low_rank);
            }
            Op::Head { transform, linear, .. } => {
                linear.iter().for_each(|&linear| plan.push(linear, matrices));
                plan.before = transform.map(|(linear, _)| Box::new(Plan::of(linear, matrices)));
            }
            _ => op.linears().for_each(|linear| plan.push(linear, matrices)),
        }
        plan
    }

    fn of(linear: Linear, matrices: &[Box<dyn Matrix>]) -> Plan {
        let mut plan = Plan { bounds: vec![0], ..Plan::default() };
        plan.push(linear, matrices);
        plan
    }

    fn push(&mut self, linear: Linear, matrices: &[Box<dyn Matrix>]) {
        let matrix = &matrices[linear.weight];
        let bands = matrix.rows().div_ceil(ROWS);
        let step = (PIECE_BYTES / matrix.band_bytes().max(1)).max(bands.div_ceil(MOST)).max(1);
        self.low_ranks.extend(linear.low_rank);
        let first = self.width();
        for start in (0..bands).step_by(step) {
            let end = (start + step).min(bands);
            self.pieces.push(Piece { linear, bands: start..end });
            self.bounds.push(first + (end * ROWS).min(matrix.rows()));
        }
    }

    /// Numbers the operation makes for a token.
    pub fn width(&self) -> usize {
        *self.bounds.last().expect("bounds begin with 0")
    }

    /// See [`Columns`](super::divide::Columns).
    pub fn bounds(&self) -> &[usize] {
        &self.bounds
    }

    /// Piece `i`.
    pub fn piece(&self, i: usize) -> &Piece {
        &self.pieces[i]
    }

    /// Those of its matrices.
    pub fn low_ranks(&self) -> &[LowRank] {
        &self.low_ranks
    }

    /// What is done first: a masked-language head's transform.
    pub fn before(&self) -> Option<&Plan> {
        self.before.as_deref()
    }

    /// The second matrix of a gate.
    pub fn up(&self) -> Linear {
        self.up.expect("a gate has two matrices")
    }
}
