//! Products with several tokens: prompts.

use hearth_engine::Result;
use hearth_engine::program::Linear;

use crate::kernels::Product;
use crate::matvec::Target;
use crate::plan::{F32, Planner, THREADS, VEC4};
use crate::steps::Access::{Read, Uniform, Write};
use crate::steps::Extent::{Fixed, Tokens};
use crate::steps::{Step, bind};
use crate::text::{Repeat, repeat, weight_at};
use crate::weight::{Matrix, Part};

/// Tokens that a workgroup takes, and how many of them one thread.
pub const TILES: [(usize, usize); 3] = [(8, 4), (32, 4), (64, 8)];

impl Planner<'_> {
    /// Matrices over the same activations of all tokens of a run, side by side from where each one's target begins.
    pub fn matmul(
        &mut self,
        label: &'static str,
        linears: &[(Linear, Target)],
        input: &wgpu::Buffer,
        tile: (usize, usize),
        steps: &mut Vec<Step>,
    ) -> Result<()> {
        let mut quantized = false;
        for &(linear, target) in linears {
            let matrix = self.matrix(linear.weight);
            let product = matrix.layout.product(self.kernels.matmul);
            if product == Product::Bytes && !std::mem::replace(&mut quantized, true) {
                steps.push(self.quantize(input, matrix.blocks));
            }
            for part in &matrix.parts {
                let target = Target { offset: target.offset + part.first, ..target };
                steps.push(self.matmul_step(label, product, (matrix, part), input, target, tile)?);
            }
        }
        Ok(())
    }

    fn matmul_step(
        &mut self,
        label: &'static str,
        product: Product,
        (matrix, part): (&Matrix, &Part),
        input: &wgpu::Buffer,
        target: Target,
        (tokens, own): (usize, usize),
    ) -> Result<Step> {
        let [_, high, scales, common] = part.vectors();
        let sizes =
            [matrix.blocks, part.rows, target.stride, target.offset, high, scales, common, usize::from(target.add)]
                .map(|size| size as u32);
        let shape = self.maker.uniform("shape", &sizes)?;
        let mut bindings = vec![
            bind("state", Read, "State", &self.buffers.state),
            bind("shape", Uniform, "Shape", &shape),
            bind("y", Write, F32, target.buffer),
            bind("w0", Read, "array<vec4<u32>>", &part.buffer),
        ];
        bindings.extend(target.bias.map(|bias| bind("bias", Read, F32, bias)));
        let ranks = tokens / own;
        let mut text = format!("const TOKENS = {tokens}u;\nconst OWN = {own}u;\nconst RANKS = {ranks}u;\n");
        text += include_str!("shaders/shape.wgsl");
        text += &target.finish.text(target.bias.is_some());
        text += &weight_at("w0", &matrix.layout, ["shape.high", "shape.scales", "shape.whole"]);
        if product == Product::Bytes {
            bindings.push(bind("words", Read, "array<vec4<u32>>", &self.buffers.words));
            bindings.push(bind("factor", Read, F32, &self.buffers.factors));
        } else {
            bindings.push(bind("x", Read, VEC4, input));
        }
        let (products, taken) = match (product, matrix.layout.codes) {
            (Product::Codes | Product::Bytes, Some(codes)) => {
                text += &format!("const PARTS = {}u;\nconst LEAST = {};\n", codes.parts, codes.least);
                if product == Product::Bytes {
                    text += include_str!("shaders/codes_bytes.wgsl");
                } else {
                    text += include_str!("shaders/codes_f32.wgsl");
                    text += concat!(include_str!("shaders/num_f32.wgsl"), include_str!("shaders/bring.wgsl"));
                    let bytes = if codes.signed { "signed_bytes" } else { "bytes" };
                    text += &format!("fn four(word: u32) -> Four {{ return {bytes}(word); }}\n");
                }
                text += include_str!("shaders/codes.wgsl");
                (include_str!("shaders/codes_products.wgsl"), "Four")
            }
            _ => {
                text += match product {
                    Product::F16 => include_str!("shaders/num_f16.wgsl"),
                    _ => include_str!("shaders/num_f32.wgsl"),
                };
                text += concat!(include_str!("shaders/bring.wgsl"), include_str!("shaders/numbers.wgsl"));
                (include_str!("shaders/numbers_products.wgsl"), "vec4<f32>")
            }
        };
        let products = products.replace("TAKE", &self.taking(taken));
        let kernel = include_str!("shaders/matmul.wgsl").replace("PRODUCTS", &products);
        text += &repeat(&kernel, Repeat { i: ranks, e: own / 4 });
        let grid = [Fixed(part.rows.div_ceil(THREADS)), Tokens(tokens), Fixed(1)];
        Ok(self.maker.step(label, &[&text], &bindings, grid))
    }

    /// WGSL of how a thread takes vector `k` of four tokens each, `a{e}` to `d{e}`, as `kind`: from workgroup memory or, with
    /// subgroups, of what each of four neighbours has taken from there.
    fn taking(&self, kind: &str) -> String {
        let mut text = "let at = k * TOKENS + token;\n".to_owned();
        if self.kernels.subgroups {
            text += "let own{e} = inputs[at + 4u * {e}u + i % 4u];\n";
        }
        for (n, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
            text += &match self.kernels.subgroups {
                true => format!("let {name}{{e}} = {kind}(quadBroadcast(own{{e}}, {n}u));\n"),
                false => format!("let {name}{{e}} = {kind}(inputs[at + 4u * {{e}}u + {n}u]);\n"),
            };
        }
        text
    }

    /// Brings `blocks` blocks of each row of `input` into bytes.
    fn quantize(&mut self, input: &wgpu::Buffer, blocks: usize) -> Step {
        let constants = format!("const BLOCKS = {blocks}u;\n");
        let bindings = [
            bind("x", Read, VEC4, input),
            bind("words", Write, "array<vec4<u32>>", &self.buffers.words),
            bind("factor", Write, F32, &self.buffers.factors),
        ];
        let texts = [&constants, include_str!("shaders/quantize.wgsl"), include_str!("shaders/quantize_rows.wgsl")];
        self.maker.step("Quantize", &texts, &bindings, [Fixed(blocks.div_ceil(THREADS)), Tokens(1), Fixed(1)])
    }
}
