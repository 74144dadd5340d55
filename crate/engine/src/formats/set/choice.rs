//! Which of the files that somebody gave make the model.

use super::File;
use crate::error::{Error, Result};
use crate::formats::header::twice;
use crate::formats::hf::Texts;
use crate::formats::shards::Shard;

/// What a set of files is. Numbers are places in the list of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// One GGUF file.
    Gguf(usize),
    /// A GGUF file in parts; in order if their names tell it.
    GgufParts(Vec<usize>),
    /// A Hugging Face folder.
    Folder {
        /// The texts there are, by their names within the folder and in the order of [`Texts::NAMES`].
        texts: Vec<(&'static str, usize)>,
        /// The safetensors files there are.
        weights: Vec<usize>,
        /// How much of each name is the way to the folder.
        root: usize,
    },
}

fn extension(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

impl Choice {
    /// Finds out from the names alone.
    pub fn of(files: &[File]) -> Result<Choice> {
        let with = |wanted: &str| -> Vec<usize> {
            (0..files.len()).filter(|&i| extension(&files[i].name).eq_ignore_ascii_case(wanted)).collect()
        };
        let (ggufs, weights) = (with("gguf"), with("safetensors"));
        match (ggufs.as_slice(), weights.as_slice()) {
            (&[one], []) => Ok(Choice::Gguf(one)),
            // A file by itself may be called anything: what it begins with will tell.
            ([], []) if files.len() == 1 && extension(&files[0].name) != "json" => Ok(Choice::Gguf(0)),
            ([], []) => Err(nothing(files)),
            (_, []) => parts(files, ggufs),
            ([], _) => folder(files, weights),
            (&[gguf, ..], &[other, ..]) => Err(Error::Files(format!(
                "{} and {} are two models in different formats: give the files of one",
                files[gguf].name, files[other].name
            ))),
        }
    }
}

fn nothing(files: &[File]) -> Error {
    let pickled = files.iter().find(|file| matches!(extension(&file.name), "bin" | "pt" | "pth" | "ckpt"));
    let found = match pickled {
        Some(file) => format!("{} is of a format that can run programs, and is not opened", file.name),
        None => "there is no model among these files".to_owned(),
    };
    Error::Files(format!("{found}: give a .gguf file, or config.json, tokenizer.json and .safetensors together"))
}

/// Several GGUF files: the parts of one, as far as their names tell.
fn parts(files: &[File], mut ggufs: Vec<usize>) -> Result<Choice> {
    let names = ggufs.iter().map(|&i| &files[i].name);
    let Some(shards) = names.map(|name| Shard::of(name)).collect::<Option<Vec<_>>>() else {
        return Ok(Choice::GgufParts(ggufs));
    };
    complete(&shards)?;
    ggufs.sort_by_key(|&i| &files[i].name);
    Ok(Choice::GgufParts(ggufs))
}

/// Errors unless these are all parts of one model, each once.
fn complete(shards: &[Shard]) -> Result<()> {
    let Some(first) = shards.first() else { return Ok(()) };
    let name = |number: usize| first.name(number);
    if let Some(other) = shards.iter().find(|shard| !shard.is_beside(first)) {
        let (other, name) = (other.name(other.number), name(first.number));
        return Err(Error::Files(format!("{other} does not belong to {name}: give the files of one model")));
    }
    if let Some(number) = twice(shards.iter().map(|shard| shard.number)) {
        return Err(given_twice(&name(number)));
    }
    match (1..=first.count).find(|&number| shards.iter().all(|shard| shard.number != number)) {
        None => Ok(()),
        Some(number) => Err(missing(&name(number), first.count)),
    }
}

fn given_twice(name: &str) -> Error {
    Error::Files(format!("{name} is given twice: leave one out"))
}

/// A part is not there.
pub fn missing(name: &str, count: usize) -> Error {
    Error::Files(format!("{name} is missing: give all {count} files of the model together"))
}

fn folder(files: &[File], weights: Vec<usize>) -> Result<Choice> {
    let is_config = |name: &str| name == Texts::CONFIG || name.ends_with("/config.json");
    let roots = files.iter().filter(|file| is_config(&file.name)).map(|file| file.name.len() - Texts::CONFIG.len());
    let absent = |name: &str| Error::Files(format!("{name} is missing: give the files of the model's folder together"));
    let root = roots.min().ok_or_else(|| absent(Texts::CONFIG))?;
    let config = files.iter().find(|file| is_config(&file.name) && file.name.len() - Texts::CONFIG.len() == root);
    let way = config.map_or("", |file| &file.name[..root]);
    let inside = |i: &usize| files[*i].name.strip_prefix(way);
    let mut texts = Vec::new();
    for &name in Texts::NAMES {
        let mut found = (0..files.len()).filter(|i| inside(i) == Some(name));
        texts.extend(found.next().map(|i| (name, i)));
        if found.next().is_some() {
            return Err(given_twice(&format!("{way}{name}")));
        }
    }
    if !texts.iter().any(|text| text.0 == Texts::TOKENIZER) {
        return Err(absent(&format!("{way}{}", Texts::TOKENIZER)));
    }
    // What lies deeper is for other programs.
    let weights: Vec<usize> =
        weights.into_iter().filter(|i| inside(i).is_some_and(|name| !name.contains('/'))).collect();
    match twice(weights.iter().map(|&i| files[i].name.as_str())) {
        Some(name) => Err(given_twice(name)),
        None => Ok(Choice::Folder { texts, weights, root }),
    }
}

/// The safetensors files of a folder without an index: the one called `model`, the only one, or all parts of one, in order.
pub fn without_index(files: &[File], weights: &[usize], root: usize) -> Result<Vec<usize>> {
    if let Some(&model) = weights.iter().find(|&&i| &files[i].name[root..] == "model.safetensors") {
        return Ok(vec![model]);
    }
    match weights {
        [] => Err(Error::Files("model.safetensors is missing: give the files of the model's folder together".into())),
        &[one] if Shard::of(&files[one].name).is_none_or(|shard| shard.count == 1) => Ok(vec![one]),
        several => match several.iter().map(|&i| Shard::of(&files[i].name)).collect::<Option<Vec<_>>>() {
            Some(shards) => {
                complete(&shards)?;
                let mut parts = several.to_vec();
                parts.sort_by_key(|&i| &files[i].name);
                Ok(parts)
            }
            None => {
                let names: Vec<_> = several.iter().map(|&i| files[i].name.as_str()).collect();
                let (names, index) = (names.join(", "), Texts::INDEX);
                Err(Error::Files(format!(
                    "which of {names} make the model is not said: add {index}, or give one of them"
                )))
            }
        },
    }
}

/// Of the files `others` that lie in one folder, those that make the model which `name`, one of them, stands for: all parts of a
/// GGUF file; for a safetensors file all that is not weights, and the other parts. Only itself if it stands alone.
pub fn beside(name: &str, others: &[String]) -> Vec<usize> {
    let shard = Shard::of(name);
    let is_part = |other: &str| other == name || shard.zip(Shard::of(other)).is_some_and(|(a, b)| a.is_beside(&b));
    let text = |other: &str| extension(name) == "safetensors" && Texts::NAMES.contains(&other);
    // An index says which parts there are of a whole; of one that is given by itself it says nothing.
    let unwanted = |other: &str| other == Texts::INDEX && shard.is_none();
    (0..others.len()).filter(|&i| is_part(&others[i]) || (text(&others[i]) && !unwanted(&others[i]))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(names: &[&str]) -> Vec<File> {
        names.iter().map(|&name| File { name: name.into(), size_bytes: 1 }).collect()
    }

    #[test]
    fn names_tell_what_a_set_is() {
        let choice = |names: &[&str]| Choice::of(&files(names)).unwrap();
        assert_eq!(choice(&["README.md", "a.gguf"]), Choice::Gguf(1));
        for name in ["", "model", "Qwen2.5 0.5B", "A.GGUF"] {
            assert_eq!(choice(&[name]), Choice::Gguf(0), "{name}");
        }
        assert_eq!(choice(&["a-00002-of-00002.gguf", "a-00001-of-00002.gguf"]), Choice::GgufParts(vec![1, 0]));
        // As a browser names the files of a folder; what lies deeper, or beside it, is for others.
        let given = [
            "m/onnx/model.safetensors",
            "m/tokenizer.json",
            "m/model.safetensors",
            "m/config.json",
            "m/1_Pooling/config.json",
        ];
        let texts = vec![(Texts::CONFIG, 3), (Texts::POOLING, 4), (Texts::TOKENIZER, 1)];
        assert_eq!(choice(&given), Choice::Folder { texts, weights: vec![2], root: 2 });
    }

    #[test]
    fn a_file_stands_for_those_beside_it() {
        let names = [
            "README.md",
            "a-00001-of-00002.gguf",
            "a-00002-of-00002.gguf",
            "b.gguf",
            "config.json",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "model.safetensors.index.json",
            "other.safetensors",
            "tokenizer.json",
        ]
        .map(str::to_owned);
        for (name, expected) in [
            ("b.gguf", vec![3]),
            ("a-00002-of-00002.gguf", vec![1, 2]),
            ("other.safetensors", vec![4, 8, 9]),
            ("model-00002-of-00002.safetensors", vec![4, 5, 6, 7, 9]),
        ] {
            assert_eq!(beside(name, &names), expected, "{name}");
        }
    }
}
