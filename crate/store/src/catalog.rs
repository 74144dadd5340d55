//! `models/catalog.json`: the models we know, pinned by hash.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The whole list; the first is the default.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Catalog {
    /// In the order they are offered.
    pub models: Vec<Entry>,
}

/// One model.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Entry {
    /// Name in code and on the command line.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// `general.architecture` of the file.
    pub architecture: String,
    /// The quantization mix.
    pub format: String,
    /// SPDX id, or the name of the terms.
    pub licence: String,
    /// Where the licence can be read.
    pub licence_url: String,
    /// Whether it answers in conversations; a base model only continues texts.
    pub chat: bool,
    /// Size of the file.
    pub size_bytes: u64,
    /// Hash of the file.
    pub sha256: String,
    /// Size of every shard but the last.
    pub shard_bytes: u64,
    /// Hash of each shard.
    pub shards: Vec<String>,
    /// The whole file on the public internet, for servers that have no shards.
    pub url: String,
    /// Other addresses of it, for when that one fails.
    #[serde(default)]
    pub mirrors: Vec<String>,
}

impl Catalog {
    /// The entry with this id.
    pub fn find(&self, id: &str) -> Result<&Entry> {
        self.models.iter().find(|entry| entry.id == id).ok_or_else(|| Error::UnknownModel {
            id: id.into(),
            known: self.models.iter().map(|entry| entry.id.as_str()).collect::<Vec<_>>().join(", "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The committed catalog must be sound, or every download fails.
    #[test]
    fn the_catalog_is_sound() {
        let catalog: Catalog = serde_json::from_str(include_str!("../../../models/catalog.json")).unwrap();
        for entry in &catalog.models {
            assert_eq!(entry.shards.len() as u64, entry.size_bytes.div_ceil(entry.shard_bytes), "{}", entry.id);
            let hashes = entry.shards.iter().chain([&entry.sha256]);
            for hash in hashes {
                assert!(hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()), "{}: {hash}", entry.id);
            }
            assert!([&entry.url].into_iter().chain(&entry.mirrors).all(|url| url.starts_with("https://")));
            assert_eq!(catalog.models.iter().filter(|other| other.id == entry.id).count(), 1);
        }
        assert!(catalog.find("no-such-model").unwrap_err().to_string().contains(&catalog.models[0].id));
    }
}
