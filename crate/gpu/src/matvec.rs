//! Products with a single token: decoding.

use hearth_engine::program::{Activation, Linear, Norm};

use crate::finish::{Finish, gate};
use crate::kernels::Product;
use crate::plan::{F32, Pending, Planner, THREADS, VEC4};
use crate::steps::Access::{Read, Write};
use crate::steps::Extent::Fixed;
use crate::steps::{Binding, Step, bind};
use crate::text::{Repeat, repeat, weight};
use crate::weight::{Matrix, Part};

/// Weights that a kernel can bind besides its other buffers.
const MOST_WEIGHTS: usize = 3;

/// Blocks of activations that a workgroup keeps at a time: 8 KB on a card. On a program on the CPU fewer:
/// Chromium has all workgroup memory zeroed, for which SwiftShader's compiler writes out a store for each number.
fn chunk(software: bool) -> usize {
    if software { 16 } else { 64 }
}

/// What a matvec reads.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    /// As it is; the row that is asked for, or the first.
    Plain { x: &'a wgpu::Buffer, row: bool },
    /// The residual stream, with what is pending, normed; the row that is asked for, or the first.
    Stream { x: [usize; 2], pending: Pending, norm: Norm, row: bool },
}

/// A part of a weight and the weight.
type Piece<'a> = (&'a Matrix, &'a Part);

/// Where products go.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// In which buffer.
    pub buffer: &'a wgpu::Buffer,
    /// Numbers of a token's row there.
    pub stride: usize,
    /// The first of them in it.
    pub offset: usize,
    /// Added to what is there.
    pub add: bool,
    /// What becomes of products before.
    pub finish: Finish,
    /// Biases of all numbers of a row there.
    pub bias: Option<&'a wgpu::Buffer>,
}

impl<'a> Target<'a> {
    /// A single token's products, from the buffer's beginning.
    pub fn set(buffer: &'a wgpu::Buffer) -> Target<'a> {
        Target { buffer, stride: 0, offset: 0, add: false, finish: Finish::None, bias: None }
    }
}

impl Planner<'_> {
    /// Matrices side by side, or gate and up.
    pub fn matvec(
        &mut self,
        label: &'static str,
        linears: &[Linear],
        activation: Activation,
        source: Source,
        target: Target,
        steps: &mut Vec<Step>,
    ) {
        if activation.is_gated() {
            let [gate, up] = [linears[0], linears[1]].map(|linear| self.matrix(linear.weight));
            // Rows of both go through one kernel; no model has a gate so large that it is cut at all.
            assert_eq!(gate.parts.len(), up.parts.len(), "gate and up are cut alike");
            for (a, b) in gate.parts.iter().zip(&up.parts) {
                let target = Target { offset: target.offset + a.first, ..target };
                steps.push(self.matvec_step(label, &[&[(gate, a)], &[(up, b)]], activation, source, target));
            }
            return;
        }
        let mut offset = target.offset;
        let mut pieces = Vec::new();
        for linear in linears {
            let matrix = self.matrix(linear.weight);
            pieces.extend(matrix.parts.iter().map(|part| (matrix, part)));
        }
        for pieces in pieces.chunks(MOST_WEIGHTS) {
            let target = Target { offset, ..target };
            steps.push(self.matvec_step(label, &[pieces], activation, source, target));
            offset += pieces.iter().map(|(_, part)| part.rows).sum::<usize>();
        }
    }

    fn matvec_step(
        &mut self,
        label: &'static str,
        sets: &[&[Piece]],
        activation: Activation,
        source: Source,
        target: Target,
    ) -> Step {
        let buffers = self.buffers;
        let (matrix, _) = sets[0][0];
        let total: usize = sets[0].iter().map(|(_, part)| part.rows).sum();
        let blocks = matrix.blocks;
        let lanes = lanes(blocks, self.software);
        let mut bindings = vec![bind("y", Write, F32, target.buffer)];
        let mut text = format!(
            "const BLOCKS = {blocks}u;\nconst CHUNK = {}u;\nconst LANES = {lanes}u;\nconst TOTAL = {total}u;\n\
             const SETS = {};\nconst NORMED = {};\n\
             fn store(row: u32, value: f32) {{ y[{offset}u + row] {} finished({offset}u + row, value); }}\n",
            blocks.min(chunk(self.software)),
            sets.len(),
            matches!(source, Source::Stream { .. }),
            if target.add { "+=" } else { "=" },
            offset = target.offset,
        );
        text += &target.finish.text(target.bias.is_some());
        bindings.extend(target.bias.map(|bias| bind("bias", Read, F32, bias)));
        let mut pieces = sets.iter().flat_map(|set| set.iter());
        // One kernel for all: a weight without codes makes its neighbours' products f32.
        let bytes = pieces.all(|(matrix, _)| matrix.layout.product(self.kernels.matvec) == Product::Bytes);
        let operands = if bytes {
            text += include_str!("shaders/quantize.wgsl");
            text += include_str!("shaders/stage_bytes.wgsl");
            "W_words"
        } else {
            text += include_str!("shaders/stage_f32.wgsl");
            "W_codes"
        };
        let dot = include_str!("shaders/dot.wgsl").replace("OPERANDS", operands);
        match source {
            Source::Plain { x, row } => {
                bindings.push(bind("x", Read, VEC4, x));
                text += "fn weighed(x: Block, block: u32) -> Block { return x; }\n";
                text += "fn normed(square: f32) -> f32 { return 1.0; }\n";
                text += &self.asked_row(row, &mut bindings);
            }
            Source::Stream { x, pending, norm, row } => {
                bindings.push(bind("x", Read, VEC4, &buffers.x[x[0]]));
                text += &format!("const WIDTH = {:?};\n", self.program.config.dim as f32);
                bindings.push(self.vector("norm_weight", norm.weight));
                text += &format!("const EPS = {:?};\n{}", norm.eps, include_str!("shaders/weighed.wgsl"));
                match pending {
                    Some(norm) => {
                        bindings.push(bind("pending", Read, VEC4, &buffers.y));
                        bindings.push(self.vector("pending_weight", norm.weight));
                        bindings.push(bind("x_next", Write, VEC4, &buffers.x[x[1]]));
                        text += &format!("const PENDING_EPS = {:?};\n", norm.eps);
                        text += include_str!("shaders/input_pending.wgsl");
                    }
                    None => text += &self.asked_row(row, &mut bindings),
                }
            }
        }
        let mut names = 0;
        for (set, pieces) in sets.iter().enumerate() {
            let mut end = 0;
            let mut choice = String::new();
            for (matrix, part) in *pieces {
                let name = format!("w{names}");
                names += 1;
                text += &weight(&name, &matrix.layout, part);
                text += &dot.replace("W_", &format!("{name}_"));
                bindings.push(bind(&name, Read, "array<vec4<u32>>", &part.buffer));
                let begin = end;
                end += part.rows * blocks;
                let product = format!("return {name}_dot(at - {begin}u, x);");
                choice += &if end == total * blocks { product } else { format!("if (at < {end}u) {{ {product} }}\n") };
            }
            text += &format!("fn dot{set}(at: u32, x: Taken) -> f32 {{\n{choice}\n}}\n");
        }
        text += gate(activation);
        let all = if sets.len() == 1 { "sum0 * scale" } else { "sum0 * scale, sum1 * scale" };
        text += &repeat(include_str!("shaders/matvec.wgsl"), Repeat { i: sets.len(), e: 0 }).replace("ALL", all);
        let grid = [Fixed(total.div_ceil(THREADS / lanes * 4)), Fixed(1), Fixed(1)];
        self.maker.step(label, &[&text], &bindings, grid)
    }
}

impl<'a> Planner<'a> {
    /// WGSL of how activations are read: the `row` that is asked for, or the first.
    fn asked_row(&self, row: bool, bindings: &mut Vec<Binding<'a>>) -> String {
        let text = include_str!("shaders/input_plain.wgsl");
        if row {
            bindings.push(bind("state", Read, "State", &self.buffers.state));
        }
        text.replace("ROW", if row { "state.row" } else { "0u" })
    }
}

/// Lanes that share a row of so many blocks. On a card neighbours should read neighbouring blocks, though some have none left at the
/// end; a program on the CPU gains nothing by that: with two lanes for 18 blocks SwiftShader took 0.78 of the time.
fn lanes(blocks: usize, software: bool) -> usize {
    match blocks {
        _ if software => 2,
        0..8 => 2,
        8..32 => 8,
        32..64 => 16,
        _ => 32,
    }
}
