//! Names of files that are parts of one model: `NAME-00002-of-00003.gguf`, likewise `.safetensors`.

/// Digits of a number in such a name.
const DIGITS: usize = 5;

/// One part of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard<'a> {
    /// What stands in front of the numbers, folders included.
    pub stem: &'a str,
    /// Which part, from 1.
    pub number: usize,
    /// How many there are.
    pub count: usize,
    /// `gguf` or `safetensors`.
    pub extension: &'a str,
}

impl<'a> Shard<'a> {
    /// What the name of a file says, if it is that of a part.
    pub fn of(name: &'a str) -> Option<Shard<'a>> {
        let (rest, extension) = name.rsplit_once('.')?;
        let (rest, count) = rest.rsplit_once("-of-")?;
        let (stem, number) = rest.rsplit_once('-')?;
        let parse = |text: &str| match text.len() == DIGITS && text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => text.parse::<usize>().ok(),
            false => None,
        };
        let (number, count) = (parse(number)?, parse(count)?);
        let known = matches!(extension, "gguf" | "safetensors") && (1..=count).contains(&number);
        known.then_some(Shard { stem, number, count, extension })
    }

    /// The name of part `number`.
    pub fn name(&self, number: usize) -> String {
        let Shard { stem, count, extension, .. } = self;
        format!("{stem}-{number:05}-of-{count:05}.{extension}")
    }

    /// Whether both are parts of one model, by their names.
    pub fn is_beside(&self, other: &Shard) -> bool {
        (self.stem, self.count, self.extension) == (other.stem, other.count, other.extension)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_know_each_other() {
        let part = Shard::of("a/model-q4-00002-of-00003.gguf").unwrap();
        assert_eq!((part.stem, part.number, part.count, part.extension), ("a/model-q4", 2, 3, "gguf"));
        assert_eq!(part.name(3), "a/model-q4-00003-of-00003.gguf");
        assert!(part.is_beside(&Shard::of(&part.name(1)).unwrap()));
        assert!(!part.is_beside(&Shard::of("a/other-00001-of-00003.gguf").unwrap()));
    }

    #[test]
    fn other_names_are_whole_files() {
        for name in [
            "model.gguf",
            "model-00000-of-00003.gguf",
            "model-00004-of-00003.gguf",
            "model-1-of-3.gguf",
            "model-00001-of-00003.bin",
            "model-+0001-of-00003.gguf",
            "-of-.gguf",
        ] {
            assert_eq!(Shard::of(name), None, "{name}");
        }
    }
}
