//! Adapters: matrices of low rank that are added to a model's when it is loaded, from a GGUF file of their own as llama.cpp's
//! `convert_lora_to_gguf.py` makes them. The model's file stays as it is, and so do its weights: the factors run beside them.
//!
//! ```text
//! general.type         "adapter"        adapter.type        "lora"
//! general.architecture the model's      adapter.lora.alpha  y = W x + alpha / r · B (A x)
//! NAME.lora_a  [r, in]                  NAME.lora_b  [out, r]
//! ```
//!
//! Hu et al. 2021, arXiv:2106.09685.

use crate::error::{Error, Result};
use crate::formats::bad;
use crate::formats::gguf::Reader;
use crate::formats::{Event, Header};

/// An adapter's file.
pub struct Adapter {
    header: Header,
    data: Vec<Vec<u8>>,
}

impl Adapter {
    /// From the whole file. Errors where it is not an adapter of this kind.
    pub fn from_gguf(file: &[u8]) -> Result<Adapter> {
        let mut adapter = Adapter { header: Header::default(), data: Vec::new() };
        let mut on = |event: Event| {
            match event {
                Event::Header(header) => {
                    adapter.data = vec![Vec::new(); header.tensors.len()];
                    adapter.header = header;
                }
                Event::Rows { tensor, bytes, .. } => adapter.data[tensor].extend_from_slice(bytes),
            }
            Ok(())
        };
        let mut reader = Reader::new();
        reader.push(file, &mut on)?;
        reader.finish(&mut on)?;
        for (key, wanted) in [("general.type", "adapter"), ("adapter.type", "lora")] {
            let found = adapter.header.string(key)?.unwrap_or("nothing");
            if found != wanted {
                return Err(bad(key, format!("an adapter says {wanted}, this file says {found}")));
            }
        }
        match adapter.header.tensors.iter().find(|tensor| weight_of(&tensor.name).is_none()) {
            None => Ok(adapter),
            Some(tensor) => Err(Error::InvalidInput(format!("tensor {} is no factor of a matrix", tensor.name))),
        }
    }

    /// Adds its tensors to a model's. Errors where they are for another.
    pub fn join(&self, header: &mut Header) -> Result<()> {
        let key = "general.architecture";
        let [own, model] = [self.header.string(key)?, header.string(key)?].map(Option::unwrap_or_default);
        if own != model {
            return Err(bad(key, format!("the adapter is for {own:?} and the model is {model:?}")));
        }
        for tensor in &self.header.tensors {
            let weight = weight_of(&tensor.name).unwrap_or_default();
            if header.tensor(weight).is_none() || header.tensor(&tensor.name).is_some() {
                let what = format!("the adapter changes {weight}, which this model does not have, or not whole");
                return Err(Error::InvalidInput(what));
            }
        }
        let alpha = self.header.metadata.get(ALPHA).cloned();
        header.metadata.extend(alpha.map(|alpha| (ALPHA.to_owned(), alpha)));
        header.tensors.extend(self.header.tensors.iter().cloned());
        Ok(())
    }

    /// The bytes of its tensors.
    pub fn data(&self) -> impl Iterator<Item = &[u8]> {
        self.data.iter().map(Vec::as_slice)
    }
}

/// What factors are multiplied by, times their rank.
pub const ALPHA: &str = "adapter.lora.alpha";

/// The matrix that a factor belongs to.
pub fn weight_of(factor: &str) -> Option<&str> {
    factor.strip_suffix(".lora_a").or_else(|| factor.strip_suffix(".lora_b"))
}
