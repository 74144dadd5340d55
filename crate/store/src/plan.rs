//! A file as a row of chunks. On a server each may be a file of its own, a shard.

use serde::{Deserialize, Serialize};

use crate::catalog::Entry;

/// Size of the chunks of files that come from an address or a disk.
pub const SHARD_BYTES: u64 = 4 << 20;

/// A file to have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Names the file's content: two plans with one key are the same bytes.
    pub key: String,
    /// For people.
    pub name: String,
    /// Size of the file.
    pub size_bytes: u64,
    /// Size of every chunk but the last.
    pub shard_bytes: u64,
    /// Hash of each chunk; empty if nobody knows them.
    pub hashes: Vec<String>,
    /// A folder with each chunk as a file of its own, `00000.bin` and on; tried first.
    pub folder: Option<String>,
    /// The whole file.
    pub url: String,
    /// Whether the server of `url` gives parts of it.
    pub ranges: bool,
    /// Other addresses of the same file.
    #[serde(default)]
    pub mirrors: Vec<String>,
    /// Hash of the whole file, where the server tells it.
    #[serde(default)]
    pub sha256: Option<String>,
    /// What the server of `url` calls this version of it.
    #[serde(default)]
    pub tag: Option<String>,
    /// Whether all is here and was found to have `sha256`.
    #[serde(default)]
    pub checked: bool,
}

/// How addresses of files begin that came from a disk: nobody else has them.
pub const IMPORTED: &str = "import:///";

impl Plan {
    /// For a model of the catalog; `folder` may hold its shards.
    pub fn of_entry(entry: &Entry, folder: &str) -> Plan {
        Plan {
            key: format!("sha256-{}", entry.sha256),
            name: entry.name.clone(),
            size_bytes: entry.size_bytes,
            shard_bytes: entry.shard_bytes,
            hashes: entry.shards.clone(),
            folder: Some(format!("{}/{}", folder.trim_end_matches('/'), entry.id)),
            url: entry.url.clone(),
            ranges: true,
            mirrors: entry.mirrors.clone(),
            sha256: Some(entry.sha256.clone()),
            tag: None,
            checked: false,
        }
    }

    /// For a file at an address, of which the server told the size and perhaps a tag that names its version.
    pub fn of_url(url: &str, size_bytes: u64, tag: Option<&str>, ranges: bool) -> Plan {
        let about = format!("{url} {size_bytes} {SHARD_BYTES} {}", tag.unwrap_or(""));
        Plan {
            key: format!("url-{}", crate::sha256(about.as_bytes())),
            name: url.split(['?', '#']).next().unwrap_or(url).rsplit('/').next().unwrap_or(url).into(),
            size_bytes,
            shard_bytes: SHARD_BYTES,
            hashes: Vec::new(),
            folder: None,
            url: url.into(),
            ranges,
            mirrors: Vec::new(),
            sha256: None,
            tag: tag.map(Into::into),
            checked: false,
        }
    }

    /// For a file from a disk; `path` is its name, perhaps below its folder's.
    pub fn of_file(path: &str, size_bytes: u64, modified_ms: u64) -> Plan {
        let tag = format!("modified {modified_ms}");
        Plan { tag: None, ..Plan::of_url(&format!("{IMPORTED}{path}"), size_bytes, Some(&tag), false) }
    }

    /// Whether it came from a disk.
    pub fn is_imported(&self) -> bool {
        self.url.starts_with(IMPORTED)
    }

    /// Number of chunks.
    pub fn count(&self) -> usize {
        usize::try_from(self.size_bytes.div_ceil(self.shard_bytes)).unwrap_or(usize::MAX)
    }

    /// First byte and length of chunk `index`.
    pub fn extent(&self, index: usize) -> (u64, u64) {
        let start = index as u64 * self.shard_bytes;
        (start, self.shard_bytes.min(self.size_bytes - start))
    }

    /// Bytes of the chunks in `indices`.
    pub fn bytes_of(&self, indices: impl IntoIterator<Item = usize>) -> u64 {
        indices.into_iter().map(|index| self.extent(index).1).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_cover_the_file() {
        for size in [1, SHARD_BYTES - 1, SHARD_BYTES, SHARD_BYTES + 1, 98_362_432] {
            let plan = Plan::of_url("https://example.org/a/model.gguf?download=true", size, None, true);
            let mut next = 0;
            for index in 0..plan.count() {
                let (start, len) = plan.extent(index);
                assert_eq!(start, next);
                assert!(len > 0);
                next += len;
            }
            assert_eq!(next, size);
            assert_eq!(plan.bytes_of(0..plan.count()), size);
            assert_eq!(plan.name, "model.gguf");
        }
    }

    #[test]
    fn another_version_is_another_file() {
        let key = |size, tag| Plan::of_url("https://example.org/m.gguf", size, tag, true).key;
        assert_eq!(key(5, Some("a")), key(5, Some("a")));
        assert_ne!(key(5, Some("a")), key(5, Some("b")));
        assert_ne!(key(5, None), key(6, None));
    }
}
