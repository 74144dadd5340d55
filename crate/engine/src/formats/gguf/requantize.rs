//! A GGUF file on its way into another one whose matrices are stored in another format, row by row.
//!
//! Vectors and norms become F32; they are small and every token needs them exactly. Matrices become the asked format, or another
//! of [`FALLBACKS`] where their rows are no whole blocks of it. Metadata goes along, but for what says how a file is quantized.

use super::{Event, Writer};
use crate::error::{Error, Result};
use crate::formats::{Header, TensorInfo, Value};
use crate::quant::Format;

/// What stands for a format whose blocks do not fit into a row, as in llama.cpp; where that does not either, F16.
const FALLBACKS: &[(Format, Format)] =
    &[(Format::Q4_K, Format::Q5_0), (Format::Q5_K, Format::Q5_1), (Format::Q6_K, Format::Q8_0)];

/// Tables at either end of a model.
const EMBEDDINGS: &[&str] = &["token_embd.weight", "output.weight"];

/// Parts of names of small matrices on which much depends: they stay as they are.
const KEPT: &[&str] = &["ffn_gate_inp", "position_embd", "token_types"];

/// Takes what a [`Reader`](super::Reader) hands on and makes another file of it.
pub struct Requantizer {
    to: Format,
    embeddings: Format,
    file: Option<File>,
}

/// What is known once the header has come.
struct File {
    writer: Writer,
    /// Name, numbers in a row, and format before and after.
    tensors: Vec<(String, usize, [Format; 2])>,
}

impl Requantizer {
    /// To store matrices in `to`, and the tables of tokens in `embeddings`.
    pub fn new(to: Format, embeddings: Format) -> Requantizer {
        Requantizer { to, embeddings, file: None }
    }

    /// Takes the next event and appends what the new file goes on with to `out`. Errors where a number cannot be stored.
    pub fn take(&mut self, event: Event, out: &mut Vec<u8>) -> Result<()> {
        match (event, &mut self.file) {
            (Event::Header(header), file) => {
                let (started, beginning) = File::new(header, self.to, self.embeddings)?;
                out.extend(beginning);
                *file = Some(started);
                Ok(())
            }
            (Event::Rows { tensor, bytes, .. }, Some(file)) => file.take(tensor, bytes, out),
            (Event::Rows { .. }, None) => Err(Error::InvalidInput("this file was refused".into())),
        }
    }

    /// Says that the file has ended. Errors if something is missing.
    pub fn finish(self) -> Result<()> {
        self.file.ok_or_else(|| Error::InvalidInput("the file has no header".into()))?.writer.finish()
    }
}

impl File {
    fn new(mut header: Header, to: Format, embeddings: Format) -> Result<(File, Vec<u8>)> {
        let mut tensors = Vec::new();
        for tensor in &mut header.tensors {
            let before = tensor.format;
            tensor.format = target(tensor, to, embeddings);
            tensors.push((tensor.name.clone(), tensor.cols(), [before, tensor.format]));
        }
        let can_only_be_read = || Error::InvalidInput(format!("{} can only be read", to.name()));
        let number = to.file_type().ok_or_else(can_only_be_read)?;
        for (key, value) in [("general.file_type", number), ("general.quantization_version", 2)] {
            header.metadata.insert(key.into(), Value::Unsigned(value));
        }
        let (writer, beginning) = Writer::new(&header)?;
        Ok((File { writer, tensors }, beginning))
    }

    fn take(&mut self, tensor: usize, bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let (name, cols, [before, after]) = &self.tensors[tensor];
        if before == after {
            return self.writer.push(tensor, bytes, out);
        }
        let [row_bytes, new_bytes] =
            [before, after].map(|format| format.row_bytes(*cols).expect("checked at the header"));
        let (mut numbers, mut row) = (vec![0.0; *cols], vec![0; new_bytes]);
        for bytes in bytes.chunks_exact(row_bytes) {
            before.decode(bytes, &mut numbers);
            let encoded = after.encode(&numbers, &mut row);
            encoded.map_err(|error| Error::InvalidInput(format!("tensor {name}: {error}")))?;
            self.writer.push(tensor, &row, out)?;
        }
        Ok(())
    }
}

/// What a tensor becomes.
fn target(tensor: &TensorInfo, to: Format, embeddings: Format) -> Format {
    let name = tensor.name.as_str();
    if tensor.rows() == 1 || name.ends_with("_norm.weight") {
        return Format::F32;
    }
    if KEPT.iter().any(|part| name.contains(part)) {
        return tensor.format;
    }
    let wanted = if EMBEDDINGS.contains(&name) { embeddings } else { to };
    let fallback = FALLBACKS.iter().find(|(format, _)| *format == wanted).map(|(_, fallback)| *fallback);
    let fits = |format: &Format| format.row_bytes(tensor.cols()).is_some();
    [Some(wanted), fallback].into_iter().flatten().find(fits).unwrap_or(Format::F16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_becomes_of_a_tensor() {
        let becomes = |name: &str, shape: &[usize], to: Format| {
            let format = Format::BF16;
            let tensor = TensorInfo { name: name.into(), shape: shape.to_vec(), format, offset: 0, size_bytes: 0 };
            target(&tensor, to, Format::Q6_K)
        };
        assert_eq!(becomes("blk.0.ffn_up.weight", &[3, 512], Format::Q4_K), Format::Q4_K);
        assert_eq!(becomes("blk.0.ffn_up.weight", &[3, 576], Format::Q4_K), Format::Q5_0);
        assert_eq!(becomes("blk.0.ffn_up.weight", &[3, 576], Format::Q5_K), Format::Q5_1);
        assert_eq!(becomes("blk.0.ffn_up.weight", &[3, 100], Format::Q4_K), Format::F16);
        assert_eq!(becomes("blk.0.ffn_up.weight", &[3, 100], Format::Q4_0), Format::F16);
        assert_eq!(becomes("blk.0.ffn_up_exps.weight", &[8, 3, 64], Format::Q4_0), Format::Q4_0);
        assert_eq!(becomes("blk.0.ffn_gate_inp.weight", &[8, 64], Format::Q4_0), Format::BF16);
        assert_eq!(becomes("blk.0.attn_q.bias", &[64], Format::Q4_0), Format::F32);
        assert_eq!(becomes("blk.0.attn_q_norm.weight", &[2, 64], Format::Q4_0), Format::F32);
        assert_eq!(becomes("token_embd.weight", &[9, 256], Format::Q4_0), Format::Q6_K);
        assert_eq!(becomes("output.weight", &[9, 576], Format::Q4_0), Format::Q8_0);
    }
}
