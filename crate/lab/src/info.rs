//! What a model is, told to people: name, sizes, tensors.

use hearth_engine::formats::Value;
use hearth_engine::quant::Format;
use serde::Serialize;

use crate::error::Result;
use crate::model::Model;

/// What a model is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Info {
    /// As its file calls it, if it does.
    pub name: Option<String>,
    /// `general.architecture`.
    pub architecture: &'static str,
    /// Whether it makes vectors of texts and says nothing.
    pub encoder: bool,
    /// Layers.
    pub layers: usize,
    /// Tokens that it was made for.
    pub context: usize,
    /// Bytes of its GGUF file.
    pub size_bytes: u64,
    /// Bytes of all tensors.
    pub tensor_bytes: usize,
    /// The format in which most of its layers are quantized, if they are: what is made of it was coarse before.
    pub quantized: Option<&'static str>,
    /// In the order of the file.
    pub tensors: Vec<Tensor>,
}

/// A tensor.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// `[out, in]`.
    pub shape: Vec<usize>,
    /// The format that it is stored in.
    pub format: &'static str,
    /// Bytes of it.
    pub bytes: u64,
    /// Which layer it is of, from 0, if of one.
    pub layer: Option<usize>,
    /// Its name without layer and `.weight`, such as `attn_q`.
    pub kind: String,
}

/// A tensor's layer, if it is of one, and its kind.
pub fn parts(name: &str) -> (Option<usize>, &str) {
    let kind = name.strip_suffix(".weight").unwrap_or(name);
    let inner = kind.strip_prefix("blk.").and_then(|rest| rest.split_once('.'));
    match inner.and_then(|(layer, kind)| Some((layer.parse().ok()?, kind))) {
        Some((layer, kind)) => (Some(layer), kind),
        None => (None, kind),
    }
}

impl Info {
    /// Of a model. Errors if it is none that we know.
    pub fn of(model: &Model) -> Result<Info> {
        let config = model.program(1)?.config;
        let tensors: Vec<Tensor> = model
            .header
            .tensors
            .iter()
            .map(|tensor| {
                let (layer, kind) = parts(&tensor.name);
                Tensor {
                    name: tensor.name.clone(),
                    shape: tensor.shape.clone(),
                    format: tensor.format.name(),
                    bytes: tensor.size_bytes,
                    layer,
                    kind: kind.to_owned(),
                }
            })
            .collect();
        let coarse = Format::all().filter(|format| format.block_len() > 1).map(|format| {
            let of = |tensor: &&Tensor| tensor.layer.is_some() && tensor.format == format.name();
            (tensors.iter().filter(of).map(|tensor| tensor.bytes).sum::<u64>(), format.name())
        });
        let quantized = coarse.filter(|(bytes, _)| *bytes > 0).max().map(|(_, name)| name);
        Ok(Info {
            name: match model.header.metadata.get("general.name") {
                Some(Value::String(name)) => Some(name.clone()),
                _ => None,
            },
            architecture: config.architecture.name(),
            encoder: config.encoder,
            layers: config.n_layers,
            context: config.max_seq,
            size_bytes: model.file_bytes()?,
            tensor_bytes: model.tensor_bytes(),
            quantized,
            tensors,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_parts() {
        assert_eq!(parts("blk.12.attn_q.weight"), (Some(12), "attn_q"));
        assert_eq!(parts("blk.0.attn_q.bias"), (Some(0), "attn_q.bias"));
        assert_eq!(parts("token_embd.weight"), (None, "token_embd"));
        assert_eq!(parts("blk.x.y"), (None, "blk.x.y"));
    }
}
