//! Attention as dispatches.

use hearth_engine::program::{Norm, Op, Rope, RopePairs};

use crate::plan::{CacheFormat, F32, Planner, THREADS, VEC4};
use crate::steps::Access::{Read, Write};
use crate::steps::Extent::{Fixed, Tokens};
use crate::steps::{Binding, Step, bind};
use crate::text::{Repeat, repeat};

impl<'a> Planner<'a> {
    pub fn append(&mut self, op: &Op) -> Step {
        let (mut text, bindings) = self.heads(op, false);
        text += "const QUERIES = 1u;\n";
        text += include_str!("shaders/append.wgsl");
        self.maker.step("Append", &[&text], &bindings, [Fixed(self.program.config.n_kv_heads), Fixed(1), Tokens(1)])
    }

    pub fn attention(&mut self, op: &Op, splits: usize, append: bool, steps: &mut Vec<Step>) {
        let Op::Attention { causal, window, scale, softcap, .. } = op else { unreachable!("called for attention") };
        let c = &self.program.config;
        let (group, pieces) = (c.n_heads / c.n_kv_heads, c.head_dim.div_ceil(THREADS));
        let queries = if append { 1 } else { queries(group, c.head_dim) };
        let (mut text, mut bindings) = self.heads(op, true);
        text += &format!(
            "const QUERIES = {queries}u;\nconst SPLITS = {splits}u;\nconst APPEND = {append};\nconst SCALE = {scale:?};\n\
             const CAUSAL = {causal};\nconst WINDOW = {}u;\nconst STRIDE = {}u;\nconst LOWEST = -1e30;\n",
            window.map_or(u32::MAX, |window| window.try_into().unwrap_or(u32::MAX)),
            self.buffers.widths.heads,
        );
        text += &match softcap {
            None => "fn capped_score(x: f32) -> f32 { return x; }\n".to_owned(),
            Some(cap) => format!(
                "fn capped_score(x: f32) -> f32 {{ return capped(x, {cap:?}); }}\n{}",
                include_str!("shaders/capped.wgsl")
            ),
        };
        text += &repeat(include_str!("shaders/attention.wgsl"), Repeat { i: group * queries, e: pieces });
        let out = if splits == 1 { &self.buffers.heads } else { &self.buffers.splits };
        bindings.push(bind("out", Write, F32, out));
        let grid = [Fixed(c.n_kv_heads), Fixed(splits), Tokens(queries)];
        steps.push(self.maker.step("Attention", &[&text], &bindings, grid));
        if splits > 1 {
            let constants = format!(
                "const SPLITS = {splits}u;\nconst HEADS = {}u;\nconst HEAD_DIM = {}u;\nconst LOWEST = -1e30;\n",
                c.n_heads, c.head_dim
            );
            let bindings =
                [bind("parts", Read, F32, &self.buffers.splits), bind("out", Write, F32, &self.buffers.heads)];
            let texts = [&constants, include_str!("shaders/merge.wgsl")];
            steps.push(self.maker.step("Merge", &texts, &bindings, [Fixed(c.n_heads), Fixed(1), Fixed(1)]));
        }
    }

    /// What the kernels of attention share: `heads.wgsl`, the cache, and what they see, which may not be more than they use.
    fn heads(&self, op: &Op, queries: bool) -> (String, Vec<Binding<'a>>) {
        let Op::Attention { layer, q_norm, k_norm, rope, .. } = op else { unreachable!("called for attention") };
        let (c, buffers) = (&self.program.config, self.buffers);
        let (keys_type, values_type, cache) = match self.cache {
            CacheFormat::F32 => (VEC4, F32, include_str!("shaders/cache_f32.wgsl")),
            CacheFormat::F16 => ("array<vec2<u32>>", "array<u32>", include_str!("shaders/cache_f16.wgsl")),
        };
        let eps = |norm: &Option<Norm>| norm.map_or(0.0, |norm| norm.eps);
        let mut text = format!(
            "const HEADS = {}u;\nconst KV_HEADS = {}u;\nconst HEAD_DIM = {}u;\nconst VECTORS = {}u;\nconst GROUP = {}u;\n\
             const H_STRIDE = {}u;\nconst Q_NORM = {};\nconst K_NORM = {};\nconst Q_EPS = {:?};\nconst K_EPS = {:?};\n",
            c.n_heads,
            c.n_kv_heads,
            c.head_dim,
            c.head_dim / 4,
            c.n_heads / c.n_kv_heads,
            buffers.widths.qkv,
            q_norm.is_some(),
            k_norm.is_some(),
            eps(q_norm),
            eps(k_norm),
        );
        let [keys, values] = &buffers.cache[*layer];
        let mut bindings = vec![
            bind("state", Read, "State", &buffers.state),
            bind("h", Read, F32, &buffers.qkv),
            bind("keys", Write, keys_type, keys),
            bind("values", Write, values_type, values),
        ];
        let mut weight_of = |name: &str, norm: &Option<Norm>| match norm {
            Some(norm) => {
                bindings.push(self.vector(name, norm.weight));
                format!("{name}[e / 4u][e % 4u]")
            }
            None => "1.0".to_owned(),
        };
        let q = weight_of("q_weight", if queries { q_norm } else { &None });
        let k = weight_of("k_weight", k_norm);
        text +=
            &format!("fn head_weight(e: u32, query: bool) -> f32 {{\nif (query) {{ return {q}; }}\nreturn {k};\n}}\n");
        text += include_str!("shaders/heads.wgsl");
        match rope {
            None => text += include_str!("shaders/unturned.wgsl"),
            Some(rope) => {
                let halves = rope.pairs == RopePairs::Halves;
                text += &format!("const TURNING = {}u;\nconst HALVES = {halves};\n", rope.dims);
                text += include_str!("shaders/turned.wgsl");
                bindings.push(bind("turns", Read, "array<vec2<f32>>", self.turns(rope)));
            }
        }
        text += cache;
        (text, bindings)
    }

    fn turns(&self, rope: &Rope) -> &'a wgpu::Buffer {
        &self.buffers.turns.iter().find(|(known, _)| known == rope).expect("made with the buffers").1
    }
}

/// Tokens of a batch whose queries share what is read of the cache, for `group` query heads to a key head: as many as fit in the
/// workgroup memory and registers that any adapter has.
fn queries(group: usize, head_dim: usize) -> usize {
    let fits = |&queries: &usize| {
        let rows = group * queries;
        let bytes = rows * (head_dim * 4 + THREADS * 4 + 16);
        bytes <= 12 << 10 && rows * head_dim.div_ceil(THREADS) <= THREADS && rows < THREADS
    };
    [4, 2].into_iter().find(fits).unwrap_or(1)
}
