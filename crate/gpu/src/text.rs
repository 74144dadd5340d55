//! The text of a shader: constants and small functions of the operation at hand, the formats it reads, the kernel's file. WGSL's
//! declarations may come in any order, so they are joined as they are; only two things are written out here. A line with `{i}`
//! (or `{e}`, or the pair `{o}` of `{g}` and `{oe}`) stands for as many lines as there are numbers to put for it: registers have
//! names, not indices, or they would be memory. And the `W` of a format's file becomes the name of the weight at hand.

use crate::layout::Layout;
use crate::weight::Part;

/// How often numbered lines are repeated.
#[derive(Clone, Copy, Default)]
pub struct Repeat {
    /// `{i}`.
    pub i: usize,
    /// `{e}`; pairs are of `g` below `i` and `oe` below `e`.
    pub e: usize,
}

/// Writes numbered lines out.
pub fn repeat(text: &str, Repeat { i, e }: Repeat) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let times = match line {
            _ if line.contains("{o}") => i * e,
            _ if line.contains("{e}") => e,
            _ if line.contains("{i}") => i,
            _ => {
                out.extend([line, "\n"]);
                continue;
            }
        };
        for n in 0..times {
            let (all, g, oe) = (n.to_string(), (n / e.max(1)).to_string(), (n % e.max(1)).to_string());
            let line = line.replace("{o}", &all).replace("{i}", &all).replace("{e}", &all);
            out.extend([&line.replace("{g}", &g).replace("{oe}", &oe), "\n"]);
        }
    }
    out
}

/// The functions `NAME_codes`, `NAME_scales`, `NAME_decode` and, for codes, `NAME_words` over a part of a weight that is bound as `name`.
pub fn weight(name: &str, layout: &Layout, part: &Part) -> String {
    let [_, high, scales, common] = part.vectors().map(|at| format!("{at}u"));
    weight_at(name, layout, [&high, &scales, &common])
}

/// The same where the regions begin at the vectors that these expressions say.
pub fn weight_at(name: &str, layout: &Layout, [high, scales, common]: [&str; 3]) -> String {
    let mut text = format!("const W_ZERO = {:?};\n", layout.zero);
    text.extend(layout.shaders);
    text += include_str!("shaders/weight.wgsl");
    text = text.replace("W_HIGH", high).replace("W_SCALES", scales).replace("W_COMMON", common);
    text.replace("W_", &format!("{name}_")).replace("W[", &format!("{name}["))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_lines_are_written_out() {
        let text = "a\nx{i} = y{i};\nv{e};\ns{o} += p[{g}] * v{oe};";
        let expected = "a\nx0 = y0;\nx1 = y1;\nv0;\nv1;\nv2;\n";
        let pairs = "s0 += p[0] * v0;\ns1 += p[0] * v1;\ns2 += p[0] * v2;\ns3 += p[1] * v0;\n";
        let out = repeat(text, Repeat { i: 2, e: 3 });
        assert!(out.starts_with(&format!("{expected}{pairs}")), "{out}");
        assert_eq!(out.lines().count(), 12);
    }
}
