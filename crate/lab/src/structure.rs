//! What a file says of the sizes of its layers, kept true while layers, halves of layers, heads and channels go.
//!
//! Files of most families have one size for all layers. A Llama whose layers differ becomes a file of `deci`, as llama.cpp calls the
//! same decoder with a list of sizes; see `models/deci.rs` of the engine. Other families have no such twin.

use hearth_engine::formats::{TensorInfo, Value};
use hearth_engine::quant::Format;

use crate::error::{Error, Result};
use crate::matrix::Matrix;
use crate::model::Model;

/// Where a file from which layers went says which of the original's its layers are.
pub const ORIGINS: &str = "hearth.layers";

/// The name in `general.architecture`.
pub fn family(model: &Model) -> Result<String> {
    Ok(model.header.string("general.architecture")?.unwrap_or_default().to_owned())
}

/// Layers that the file says it has.
fn count(model: &Model, family: &str) -> Result<usize> {
    Ok(model.header.uint(&format!("{family}.block_count"))?.unwrap_or(0))
}

/// Drops these layers: their tensors go, those behind them move up, and so do lists that have a value for each layer.
pub fn drop_layers(model: &mut Model, dropped: &[usize]) -> Result<()> {
    let family = family(model)?;
    let layers = count(model, &family)?;
    let tensors = std::mem::take(&mut model.header.tensors);
    let data = std::mem::take(&mut model.data);
    for (mut tensor, bytes) in tensors.into_iter().zip(data) {
        let parts = tensor.name.strip_prefix("blk.").and_then(|name| name.split_once('.'));
        if let Some((Ok(layer), name)) = parts.map(|(layer, name)| (layer.parse::<usize>(), name)) {
            if dropped.contains(&layer) {
                continue;
            }
            let before = dropped.iter().filter(|other| **other < layer).count();
            tensor.name = format!("blk.{}.{name}", layer - before);
        }
        model.header.tensors.push(tensor);
        model.data.push(bytes);
    }
    if !dropped.is_empty() {
        let origins = Value::Integers((0..layers as i32).collect());
        model.header.metadata.entry(ORIGINS.into()).or_insert(origins);
    }
    let prefix = format!("{family}.");
    let of_layers = |key: &str| key.starts_with(&prefix) || key == ORIGINS;
    for (_, value) in model.header.metadata.iter_mut().filter(|(key, _)| of_layers(key)) {
        match value {
            Value::Integers(list) if list.len() == layers => keep(list, dropped),
            Value::Bools(list) if list.len() == layers => keep(list, dropped),
            Value::Floats(list) if list.len() == layers => keep(list, dropped),
            _ => {}
        }
    }
    let left = Value::Unsigned((layers - dropped.len()) as u64);
    model.header.metadata.insert(format!("{family}.block_count"), left);
    Ok(())
}

fn keep<T: Clone>(list: &mut Vec<T>, dropped: &[usize]) {
    *list = (0..list.len()).filter(|i| !dropped.contains(i)).map(|i| list[i].clone()).collect();
}

/// Drops the tensors of a layer whose names begin so.
pub fn drop_tensors(model: &mut Model, layer: usize, beginning: &str) {
    let beginning = format!("blk.{layer}.{beginning}");
    let (tensors, data) = model
        .header
        .tensors
        .drain(..)
        .zip(model.data.drain(..))
        .filter(|(tensor, _)| !tensor.name.starts_with(&beginning))
        .unzip();
    (model.header.tensors, model.data) = (tensors, data);
}

/// Stores a vector, which the file need not have had.
pub fn put_vector(model: &mut Model, name: &str, numbers: Vec<f32>) -> Result<()> {
    if model.tensor(name).is_none() {
        let info =
            TensorInfo { name: name.into(), shape: vec![numbers.len()], format: Format::F32, offset: 0, size_bytes: 0 };
        model.header.tensors.push(info);
        model.data.push(Vec::new());
    }
    model.store(name, Format::F32, &Matrix::new(numbers.len(), numbers))
}

/// Numbers of a head, by the metadata.
fn head_dim(model: &Model, family: &str) -> Result<usize> {
    let key = |name: &str| format!("{family}.{name}");
    if let Some(width) = model.header.uint(&key("attention.key_length"))? {
        return Ok(width.max(1));
    }
    let heads = match model.header.metadata.get(&key("attention.head_count")) {
        Some(Value::Integers(list)) => list.iter().copied().max().unwrap_or(0) as usize,
        _ => model.header.uint(&key("attention.head_count"))?.unwrap_or(0),
    };
    Ok(model.header.uint(&key("embedding_length"))?.unwrap_or(0) / heads.max(1))
}

/// Makes the metadata say how wide the layers' tensors are and how many heads they have. Errors where that cannot be said.
pub fn settle(model: &mut Model) -> Result<()> {
    let mut family = family(model)?;
    let head_dim = head_dim(model, &family)?.max(1);
    let layers = count(model, &family)?;
    let size = |layer: usize, name: &str| model.tensor(&format!("blk.{layer}.{name}.weight"));
    let width = |layer| size(layer, "ffn_down").map_or(0, |down| down.cols());
    let heads = |layer| size(layer, "attn_output").map_or(0, |output| output.cols() / head_dim);
    let kv_heads = |layer| match (size(layer, "attn_k"), size(layer, "attn_qkv")) {
        (Some(keys), _) => keys.rows() / head_dim,
        (None, Some(all)) => (all.rows() / head_dim - heads(layer)) / 2,
        (None, None) => 0,
    };
    let sizes = [
        ("feed_forward_length", (0..layers).map(width).collect::<Vec<_>>()),
        ("attention.head_count", (0..layers).map(heads).collect()),
        ("attention.head_count_kv", (0..layers).map(kv_heads).collect()),
    ];
    let differ = |sizes: &[usize]| sizes.windows(2).any(|pair| pair[0] != pair[1]);
    if sizes.iter().any(|(_, sizes)| differ(sizes)) && family == "llama" {
        to_deci(model, head_dim)?;
        family = "deci".into();
    }
    let dim = model.header.uint(&format!("{family}.embedding_length"))?.unwrap_or(0);
    let first = sizes[1].1.first().copied().unwrap_or(0);
    if first == 0 {
        return Err(Error::Unfit("the first layer must attend: readers take the width of heads from it".into()));
    }
    let mut say = |name: &str, value| model.header.metadata.insert(format!("{family}.{name}"), value);
    if dim / first != head_dim {
        for name in ["attention.key_length", "attention.value_length"] {
            say(name, Value::Unsigned(head_dim as u64));
        }
    }
    for (name, sizes) in &sizes {
        let key = format!("{family}.{name}");
        if differ(sizes) {
            if family != "deci" {
                return Err(Error::Unfit(format!(
                    "layers of different sizes can be stored for Llama's family, and this is {family}: take the same for all layers"
                )));
            }
            let list = sizes.iter().map(|&size| size as i32).collect();
            model.header.metadata.insert(key, Value::Integers(list));
        } else if model.header.metadata.contains_key(&key) || sizes[0] != first {
            model.header.metadata.insert(key, Value::Unsigned(sizes[0] as u64));
        }
    }
    Ok(())
}

/// A Llama becomes one of the family whose layers may differ.
fn to_deci(model: &mut Model, head_dim: usize) -> Result<()> {
    if model.header.uint("llama.attention.sliding_window")?.is_some_and(|window| window > 0) {
        let what =
            "layers of different sizes and a sliding window cannot be stored together: take the same for all layers";
        return Err(Error::Unfit(what.into()));
    }
    let metadata = std::mem::take(&mut model.header.metadata);
    let renamed = |key: String| match key.strip_prefix("llama.") {
        Some(name) => format!("deci.{name}"),
        None => key,
    };
    model.header.metadata = metadata.into_iter().map(|(key, value)| (renamed(key), value)).collect();
    model.header.metadata.insert("general.architecture".into(), Value::String("deci".into()));
    for name in ["attention.key_length", "attention.value_length", "rope.dimension_count"] {
        let value = Value::Unsigned(head_dim as u64);
        model.header.metadata.entry(format!("deci.{name}")).or_insert(value);
    }
    // Readers of lists want one of each.
    if !model.header.metadata.contains_key("deci.attention.head_count_kv") {
        let heads = model.header.metadata["deci.attention.head_count"].clone();
        model.header.metadata.insert("deci.attention.head_count_kv".into(), heads);
    }
    Ok(())
}
