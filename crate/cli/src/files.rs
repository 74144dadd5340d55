//! Which files make the model that somebody named: a folder, a file, or one of several that belong together; and reading them.

use std::error::Error;
use std::fs;
use std::io::{BufWriter, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use hearth_engine::formats::hf::Texts;
use hearth_engine::formats::set::{Choice, File, Model, Scan, Want, beside};

use crate::Result;

/// Bytes that are read at a time.
const PIECE: usize = 4 << 20;

/// A model's files and where they lie.
pub struct Files {
    pub files: Vec<File>,
    paths: Vec<PathBuf>,
}

impl Files {
    /// Those of the model at `path`: all that a folder has, or those that belong to a file.
    pub fn find(path: &Path) -> Result<Files> {
        let told = |error| format!("{}: {error}", path.display());
        if fs::metadata(path).map_err(told)?.is_dir() {
            let names = names(path).map_err(told)?;
            return Files::of(path, &names);
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let names = names(folder).map_err(told)?;
        match beside(&name, &names).as_slice() {
            // Also where its name is not text.
            [] | [_] => Files::at(vec![(name.into_owned(), path.to_owned())]),
            several => Files::of(folder, &several.iter().map(|&i| names[i].clone()).collect::<Vec<_>>()),
        }
    }

    fn of(folder: &Path, names: &[String]) -> Result<Files> {
        Files::at(names.iter().map(|name| (name.clone(), folder.join(name))).collect())
    }

    fn at(named: Vec<(String, PathBuf)>) -> Result<Files> {
        let mut files = Files { files: Vec::new(), paths: Vec::new() };
        for (name, path) in named {
            let size_bytes = fs::metadata(&path).map_err(|error| format!("{}: {error}", path.display()))?.len();
            files.files.push(File { name, size_bytes });
            files.paths.push(path);
        }
        Ok(files)
    }

    /// Gives `each` the wanted bytes, a piece at a time.
    pub fn read(&self, want: Want, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let path = &self.paths[want.file];
        let told = |error| format!("{}: {error}", path.display());
        let mut input = fs::File::open(path).map_err(told)?;
        input.seek(SeekFrom::Start(want.offset)).map_err(told)?;
        let mut input = input.take(want.bytes);
        let mut buffer = vec![0; PIECE.min(usize::try_from(want.bytes).unwrap_or(PIECE))];
        let mut left = want.bytes;
        while left > 0 {
            match input.read(&mut buffer).map_err(told)? {
                0 => return Err(format!("{}: it has become shorter", path.display()).into()),
                n => {
                    each(&buffer[..n])?;
                    left -= n as u64;
                }
            }
        }
        Ok(())
    }

    /// What there is to know of the model but its weights.
    pub fn scan(&self) -> Result<Model> {
        let mut scan = Scan::new(self.files.clone(), Choice::of(&self.files)?)?;
        while let Some(want) = scan.wants()? {
            self.read(want, |bytes| Ok(scan.push(bytes)?))?;
        }
        Ok(scan.finish()?)
    }
}

/// Gives `each` the bytes of a single file, a piece at a time.
pub fn read(path: &Path, each: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let file = Files::at(vec![(String::new(), path.to_owned())])?;
    let bytes = file.files[0].size_bytes;
    file.read(Want { file: 0, offset: 0, bytes }, each)
}

/// Writes a file that gets its name once it is whole.
pub fn save(path: &Path, write: impl FnOnce(&mut BufWriter<fs::File>) -> Result<()>) -> Result<()> {
    let mut unfinished = path.to_owned().into_os_string();
    unfinished.push(".part");
    let unfinished = PathBuf::from(unfinished);
    let written = || {
        let mut file = BufWriter::new(fs::File::create(&unfinished)?);
        write(&mut file)?;
        file.into_inner()?.sync_all()?;
        Ok(fs::rename(&unfinished, path)?)
    };
    written().map_err(|error: Box<dyn Error>| {
        // What is there of it is of no use; that it cannot be removed is not what went wrong.
        let _ = fs::remove_file(&unfinished);
        format!("{}: {error}", path.display()).into()
    })
}

/// The names of a folder's files, and of those deeper that belong to a model.
fn names(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // Also where it is a link, as in the cache of Hugging Face's tools.
        if fs::metadata(entry.path()).is_ok_and(|data| data.is_file()) {
            names.extend(entry.file_name().into_string());
        }
    }
    let deeper = Texts::NAMES.iter().filter(|name| name.contains('/') && folder.join(name).is_file());
    names.extend(deeper.map(|&name| name.to_owned()));
    names.sort();
    Ok(names)
}
