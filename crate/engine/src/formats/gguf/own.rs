//! What GGUF cannot say: tensors in formats of our own. Every other program must refuse such a file, not run rubbish, so it claims
//! an architecture that nobody else knows:
//!
//! ```text
//! general.architecture     "hearth"
//! hearth.base_architecture the model's own, such as "llama"
//! hearth.version           1
//! hearth.formats           strings "NAME=FORMAT:COLS", one for each tensor in a format of our own
//! ```
//!
//! So does a model with matrices in two factors, `NAME.lora_a` and `NAME.lora_b`, which only adapters may have elsewhere. A tensor
//! in a format of our own is stored as bytes, I8, of the shape `[rows, bytes of a row]`; nothing else in a file may be I8. Reader and
//! writer translate: a [`Header`] has the model's own architecture, formats and shapes, and none of these keys.

use std::collections::BTreeMap;

use crate::adapter::weight_of;
use crate::error::{Error, Result};
use crate::formats::header::bad;
use crate::formats::{Header, Strings, Value};
use crate::quant::Format;

/// ggml's type number of tensors that are bytes.
pub const I8: u32 = 24;

/// The newest version of the extension that is read, and the one that is written.
const NEWEST: usize = 1;

const ARCHITECTURE: &str = "general.architecture";
const OURS: &str = "hearth";
const BASE: &str = "hearth.base_architecture";
const VERSION: &str = "hearth.version";
const FORMATS: &str = "hearth.formats";

/// What tensors that are stored as bytes really are: format and numbers in a row.
#[derive(Default)]
pub struct Own(BTreeMap<String, (Format, usize)>);

impl Own {
    /// Takes what the extension says out of a file's metadata; in its place comes the model's own architecture. Errors where the
    /// file is of a newer version, or what it says makes no sense.
    pub fn take(metadata: &mut BTreeMap<String, Value>) -> Result<Own> {
        if !matches!(metadata.get(ARCHITECTURE), Some(Value::String(found)) if found == OURS) {
            return Ok(Own::default());
        }
        match metadata.remove(VERSION) {
            Some(Value::Unsigned(version)) if (1..=NEWEST as u64).contains(&version) => {}
            Some(Value::Unsigned(version)) if version > 0 => {
                let what =
                    format!("this file is of version {version}, made by a newer Hearth; up to {NEWEST} is read here");
                return Err(bad(VERSION, what));
            }
            _ => return Err(bad(VERSION, "a version was expected: 1 or more")),
        }
        match metadata.remove(BASE) {
            Some(Value::String(base)) if base != OURS => metadata.insert(ARCHITECTURE.into(), Value::String(base)),
            _ => return Err(bad(BASE, "the model's own architecture was expected")),
        };
        let entries = match metadata.remove(FORMATS) {
            None => Strings::default(),
            Some(Value::Strings(entries)) => entries,
            Some(_) => return Err(bad(FORMATS, "a list of strings was expected")),
        };
        let mut own = Own::default();
        for entry in entries.iter() {
            let (name, what) = Own::entry(entry)?;
            if own.0.insert(name.into(), what).is_some() {
                return Err(bad(FORMATS, format!("tensor {name} is there twice")));
            }
        }
        Ok(own)
    }

    /// `NAME=FORMAT:COLS`.
    fn entry(entry: &str) -> Result<(&str, (Format, usize))> {
        let parts = entry.rsplit_once('=').and_then(|(name, what)| Some((name, what.split_once(':')?)));
        let Some((name, (format, cols))) = parts else {
            return Err(bad(FORMATS, format!("\"{entry}\" is not NAME=FORMAT:COLS")));
        };
        let Some(format) = Format::from_name(format).filter(|format| format.id().is_none()) else {
            let others: Vec<_> = Format::all().filter(|format| format.id().is_none()).map(Format::name).collect();
            let what = format!("tensor {name} has the format {format}, which is none of {}", others.join(", "));
            return Err(bad(FORMATS, what));
        };
        match cols.parse() {
            Ok(cols) if cols > 0 => Ok((name, (format, cols))),
            _ => Err(bad(FORMATS, format!("tensor {name} cannot have {cols} numbers in a row"))),
        }
    }

    /// What a tensor stored as rows of so many bytes is; errors where these are not as long as its rows would be.
    pub fn tensor(&self, name: &str, row_bytes: usize) -> Result<(Format, usize)> {
        let Some(&(format, cols)) = self.0.get(name) else {
            return Err(Error::UnsupportedFormat { tensor: name.into(), found: "I8".into() });
        };
        match format.row_bytes(cols) == Some(row_bytes) {
            true => Ok((format, cols)),
            false => {
                let what = format!("rows of {row_bytes} bytes are no {cols} numbers of {}", format.name());
                Err(bad(FORMATS, format!("tensor {name}: {what}")))
            }
        }
    }

    /// Errors unless all that was said to be there is.
    pub fn check(&self, header: &Header) -> Result<()> {
        let there = |name: &str| header.tensor(name).is_some_and(|(_, tensor)| tensor.format.id().is_none());
        match self.0.keys().find(|name| !there(name)) {
            None => Ok(()),
            Some(name) => Err(bad(FORMATS, format!("there is no tensor {name} that is stored as bytes"))),
        }
    }
}

/// The metadata that a file with these tensors has instead or besides: none where others can read them. Errors where the model
/// has no architecture.
pub fn metadata(header: &Header) -> Result<BTreeMap<String, Value>> {
    let mut formats = Strings::default();
    for tensor in header.tensors.iter().filter(|tensor| tensor.format.id().is_none()) {
        formats.push(&format!("{}={}:{}", tensor.name, tensor.format.name(), tensor.cols()));
    }
    let adapter = header.string("general.type")? == Some("adapter");
    let factors = header.tensors.iter().any(|tensor| weight_of(&tensor.name).is_some());
    if formats.is_empty() && (adapter || !factors) {
        return Ok(BTreeMap::new());
    }
    let base = header.string(ARCHITECTURE)?.ok_or_else(|| bad(ARCHITECTURE, "it is missing"))?;
    Ok([
        (ARCHITECTURE, Value::String(OURS.into())),
        (BASE, Value::String(base.into())),
        (VERSION, Value::Unsigned(NEWEST as u64)),
        (FORMATS, Value::Strings(formats)),
    ]
    .map(|(key, value)| (key.into(), value))
    .into())
}

#[cfg(test)]
mod tests {
    use super::super::{Event, Reader, TensorInfo, Writer};
    use super::*;

    fn tensor(name: &str, shape: &[usize], format: Format) -> TensorInfo {
        TensorInfo { name: name.into(), shape: shape.to_vec(), format, offset: 0, size_bytes: 0 }
    }

    /// A tensor of each format of our own, among others.
    fn header() -> Header {
        let metadata = [("general.architecture", "llama"), ("general.name", "x")];
        Header {
            version: 3,
            metadata: metadata.map(|(key, value)| (key.into(), Value::String(value.into()))).into(),
            tensors: vec![
                tensor("a=b", &[3, 64], Format::S4_16_32),
                tensor("plain", &[5], Format::F32),
                tensor("blk.0.ffn_up.weight", &[2, 2, 96], Format::LUT4_32),
                tensor("v", &[32], Format::LUT4_ROW),
            ],
        }
    }

    fn written(header: &Header) -> Vec<u8> {
        let (mut writer, mut file) = Writer::new(header).unwrap();
        for (i, tensor) in header.tensors.iter().enumerate() {
            let bytes = tensor.rows() * tensor.format.row_bytes(tensor.cols()).unwrap();
            writer.push(i, &vec![i as u8; bytes], &mut file).unwrap();
        }
        writer.finish().unwrap();
        file
    }

    fn read(file: &[u8]) -> Result<Header> {
        let mut header = Header::default();
        let mut reader = Reader::new();
        let mut on = |event: Event| {
            if let Event::Header(found) = event {
                header = found;
            }
            Ok(())
        };
        reader.push(file, &mut on)?;
        reader.finish(&mut on)?;
        Ok(header)
    }

    /// The file with the first `from` replaced by as many other bytes.
    fn changed(from: &str, to: &str) -> Vec<u8> {
        let mut file = written(&header());
        assert_eq!(from.len(), to.len());
        let at = file.windows(from.len()).position(|bytes| bytes == from.as_bytes()).expect("it is there");
        file[at..at + to.len()].copy_from_slice(to.as_bytes());
        file
    }

    #[test]
    fn formats_of_our_own_come_back() {
        let expected = header();
        let file = written(&expected);
        let found = read(&file).unwrap();
        assert_eq!(found.metadata, expected.metadata);
        for (found, expected) in found.tensors.iter().zip(&expected.tensors) {
            assert_eq!((&found.name, &found.shape), (&expected.name, &expected.shape));
            assert_eq!(found.format, expected.format);
        }
        // What others see: an architecture they do not know, and tensors of bytes.
        let says = |text: &str| file.windows(text.len()).any(|bytes| bytes == text.as_bytes());
        assert!(says("\x06\0\0\0\0\0\0\0hearth") && says("blk.0.ffn_up.weight=LUT4_32:96"));
        let dims =
            [&2_u32.to_le_bytes()[..], &28_u64.to_le_bytes(), &3_u64.to_le_bytes(), &24_u32.to_le_bytes()].concat();
        assert!(file.windows(24).any(|bytes| bytes == dims));
        // Files without them are no concern of ours.
        let says_hearth = |header: &Header| written(header).windows(6).any(|bytes| bytes == b"hearth");
        let mut plain = Header { tensors: vec![tensor("plain", &[5], Format::F32)], ..expected };
        assert!(!says_hearth(&plain));
        // Factors make it ours, unless it is an adapter.
        plain.tensors = ["x.lora_a", "x.lora_b"].map(|name| tensor(name, &[5, 5], Format::F32)).to_vec();
        assert!(says_hearth(&plain));
        assert_eq!(read(&written(&plain)).unwrap().metadata, plain.metadata);
        plain.metadata.insert("general.type".into(), Value::String("adapter".into()));
        assert!(!says_hearth(&plain));
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        let says = |file: &[u8], words: &[&str]| {
            let error = read(file).expect_err("accepted").to_string();
            words.iter().for_each(|word| assert!(error.contains(word), "{error} does not say {word}"));
        };
        says(&changed("v=LUT4_ROW:32", "v=LUT9_ROW:32"), &["tensor v", "LUT9_ROW", "S4_16_32, LUT4_32, LUT4_ROW"]);
        says(&changed("v=LUT4_ROW:32", "v=LUT4_ROW:64"), &["tensor v", "34 bytes", "64 numbers of LUT4_ROW"]);
        says(&changed("v=LUT4_ROW:32", "v=LUT4_ROW:33"), &["tensor v", "33 numbers"]);
        says(&changed("v=LUT4_ROW:32", "v=LUT4_ROW:-1"), &["tensor v", "-1 numbers in a row"]);
        says(&changed("v=LUT4_ROW:32", "v=LUT4_ROW;32"), &["NAME=FORMAT:COLS"]);
        says(&changed("v=LUT4_ROW:32", "plain=Q8_0:32"), &["plain", "Q8_0"]);
        says(&changed("a=b=S4_16_32:64", "c=b=S4_16_32:64"), &["a=b", "I8"]);
        says(&changed("a=b=S4_16_32:64", "plain=LUT4_32:9"), &["a=b", "I8"]);
        says(&changed("hearth.formats", "hearth.format_"), &["a=b", "I8"]);
        says(&changed("hearth.version", "hearth.versio_"), &["hearth.version", "1 or more"]);
        says(&changed("hearth.version\x04\0\0\0\x01", "hearth.version\x04\0\0\0\x02"), &["version 2", "newer"]);
        says(&changed("hearth.base_architecture", "hearth.base_architectur_"), &["hearth.base_architecture"]);
        // Bytes in a file that is not ours.
        says(&changed("\x06\0\0\0\0\0\0\0hearth", "\x06\0\0\0\0\0\0\0heartz"), &["a=b", "I8"]);
        // A tensor that is there, but not as bytes, and one that is not there.
        let mut header = header();
        header.metadata.extend(metadata(&header).unwrap());
        for tensor in &mut header.tensors {
            (tensor.format, tensor.shape) = (Format::F32, vec![1]);
        }
        says(&written(&header), &["no tensor a=b that is stored as bytes"]);
        header.tensors.clear();
        says(&written(&header), &["no tensor a=b that is stored as bytes"]);
        header.metadata.remove(ARCHITECTURE);
        header.tensors.push(tensor("x", &[32], Format::S4_16_32));
        assert!(Writer::new(&header).is_err());
    }

    #[test]
    fn flipped_bytes_never_panic() {
        let file = written(&header());
        for at in 0..file.len() {
            for flip in [1, 0x80, 0xff] {
                let mut file = file.clone();
                file[at] ^= flip;
                let _ = read(&file);
            }
        }
    }
}
