//! What a server says of a file before it is fetched.

use crate::clock::{Clock, within};
use crate::error::{Error, Result};
use crate::places::rest_ms;
use crate::plan::{IMPORTED, Plan};
use crate::source::{Answer, Ask, Source, content_range, is_page, refusal, tag};
use crate::transfer::STALL_MS;
use crate::vault::{Vault, present};

/// How long a server is waited for when all of the file is here already.
const QUICK_MS: u64 = 5000;

/// Smaller files are seldom kept apart from their history, so no pointer tells their hash.
const LARGE: u64 = 1 << 20;

/// Git LFS pointers are shorter; what is longer is none.
const POINTER: u64 = 512;

struct Probe {
    size_bytes: u64,
    tag: Option<String>,
    ranges: bool,
}

impl Plan {
    /// Whether it may be of the version that a server tells of, and nobody has a name for that.
    fn is_maybe(&self, told: &Probe) -> bool {
        self.size_bytes == told.size_bytes && (self.tag.is_none() || told.tag.is_none())
    }
}

/// The plan for a file at an address, `mirrors` being others of the same file. What was begun before goes on, even without a
/// network. `attempts`: how often a server that fails for the moment is asked.
pub async fn plan_url(
    source: &impl Source,
    vault: &impl Vault,
    clock: &impl Clock,
    url: &str,
    mirrors: &[String],
    attempts: u32,
) -> Result<Plan> {
    // Of several versions one that is whole is of more use than one that was begun later.
    let (mut begun, mut whole) = (None, false);
    for plan in vault.plans().await?.into_iter().filter(|plan| plan.folder.is_none() && plan.url == url) {
        let all = present(vault, &plan).await?.len() == plan.count();
        if all || !whole {
            (begun, whole) = (Some(plan), all);
        }
    }
    if url.starts_with(IMPORTED) {
        return begun.ok_or(Error::Imported);
    }
    // All of it is here: only a newer version could be wanted.
    let attempts = if whole { 1 } else { attempts };
    let told = anywhere(source, clock, url, mirrors, attempts, whole).await;
    let Probe { size_bytes, tag, ranges } = match (told, begun) {
        (Ok(told), Some(plan)) if plan.is_maybe(&told) => return Ok(Plan { mirrors: mirrors.to_vec(), ..plan }),
        (Ok(told), _) => told,
        (Err(error), Some(plan)) if error.is_of_a_place() => return Ok(plan),
        (Err(error), _) => return Err(error),
    };
    let plan = Plan::of_url(url, size_bytes, tag.as_deref(), ranges);
    let known = vault.plans().await?.into_iter().find(|known| known.key == plan.key);
    let plan = match known {
        Some(known) => Plan { sha256: known.sha256, checked: known.checked, ..plan },
        None => Plan { sha256: told_hash(source, clock, url, mirrors, size_bytes).await, ..plan },
    };
    Ok(Plan { mirrors: mirrors.to_vec(), ..plan })
}

/// Asks at the addresses in turn, up to `attempts` times; `quick`: without long waits.
async fn anywhere(
    source: &impl Source,
    clock: &impl Clock,
    url: &str,
    mirrors: &[String],
    attempts: u32,
    quick: bool,
) -> Result<Probe> {
    // Where there are others, one that hangs does not hold them up.
    let patience = if quick || !mirrors.is_empty() { QUICK_MS } else { STALL_MS };
    for failures in 1.. {
        let mut first = None;
        for address in [url].into_iter().chain(mirrors.iter().map(String::as_str)) {
            let stalled = || Err(Error::Network { url: address.into() });
            match within(clock, patience, probe(source, clock, address)).await.unwrap_or_else(stalled) {
                // Another place has another name for the version.
                Ok(told) if address != url => return Ok(Probe { tag: None, ..told }),
                Ok(told) => return Ok(told),
                Err(error) => _ = first.get_or_insert(error),
            }
        }
        let error = first.expect("there is an address");
        if failures >= attempts || !error.is_passing() {
            return Err(error);
        }
        clock.sleep(rest_ms(failures, clock.chance()).max(error.wait_ms().unwrap_or(0).min(STALL_MS))).await;
    }
    unreachable!("the last attempt returns")
}

/// Asks for one byte of a file and reads what the answer says of the rest.
async fn probe(source: &impl Source, clock: &impl Clock, url: &str) -> Result<Probe> {
    let answer = source.ask(&Ask::part(url, 0, 1)).await?;
    if is_page(&answer) {
        return Err(Error::Page { url: url.into() });
    }
    let (ranges, size) = match answer.status() {
        200 => (false, length(&answer)),
        206 => (true, content_range(&answer).and_then(|(_, total)| total)),
        _ => return Err(refusal(&answer, url, clock.now_ms())),
    };
    let tag = tag(&answer);
    drop(answer);
    // Another site's page may not see the header that tells it beside a part.
    let size = match size {
        None if ranges => length(&source.ask(&Ask { head: true, ..Ask::whole(url) }).await?),
        size => size,
    };
    let unknown = || Error::Invalid(format!("the server does not say how large the file is ({url})"));
    Ok(Probe { size_bytes: size.filter(|&size| size > 0).ok_or_else(unknown)?, tag, ranges })
}

fn length(answer: &impl Answer) -> Option<u64> {
    if answer.status() != 200 { None } else { answer.header("content-length")?.parse().ok() }
}

/// The hash of a file on Hugging Face, or by what a mirror of it tells: large ones are kept apart from their history, which has
/// pointers of three lines instead (https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md). Nothing depends on it.
async fn told_hash(
    source: &impl Source,
    clock: &impl Clock,
    url: &str,
    mirrors: &[String],
    size_bytes: u64,
) -> Option<String> {
    if size_bytes < LARGE || !url.starts_with("https://huggingface.co/") {
        return None;
    }
    for address in [url].into_iter().chain(mirrors.iter().map(String::as_str)) {
        let Some((model, file)) = address.split_once("/resolve/") else { continue };
        let pointer = format!("{model}/raw/{}", file.split(['?', '#']).next()?);
        let text = within(clock, QUICK_MS, beginning(source, &pointer)).await;
        let hash = text.and_then(Result::ok).and_then(|text| pointed_at(std::str::from_utf8(&text).ok()?, size_bytes));
        if hash.is_some() {
            return hash;
        }
    }
    None
}

async fn beginning(source: &impl Source, url: &str) -> Result<Vec<u8>> {
    let mut answer = source.ask(&Ask::part(url, 0, POINTER)).await?;
    let mut bytes = Vec::new();
    while let Some(piece) = answer.piece().await? {
        bytes.extend(piece);
        if bytes.len() as u64 > POINTER {
            break;
        }
    }
    Ok(bytes)
}

fn pointed_at(pointer: &str, size_bytes: u64) -> Option<String> {
    let field = |name: &str| pointer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    field("version")?.starts_with("https://git-lfs.github.com/spec/").then_some(())?;
    (field("size")?.parse() == Ok(size_bytes)).then_some(())?;
    let hash = field("oid")?.strip_prefix("sha256:")?;
    (hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| hash.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::pointed_at;

    #[test]
    fn pointers_tell_the_hash() {
        let hash = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393";
        let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{hash}\nsize 12345\n");
        assert_eq!(pointed_at(&pointer, 12345).as_deref(), Some(hash));
        assert_eq!(pointed_at(&pointer, 12346), None, "of another file");
        assert_eq!(pointed_at(&pointer.replace("4d7a", "4d7"), 12345), None, "too short");
        assert_eq!(pointed_at("GGUF", 12345), None);
    }
}
