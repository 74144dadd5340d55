//! What servers say of files, and files of which there is another version.

use crate::doubles::server::{Fault, File, Net};
use crate::doubles::time::Time;
use crate::doubles::vault::{Shelf, Write};
use hearth_store::clock::Clock;
use hearth_store::plan::Plan;
use hearth_store::{Error, Limits, Result, Transfer, plan_url, sha256};

const URL: &str = "https://huggingface.co/org/name/resolve/main/model.gguf";
const POINTER: &str = "https://huggingface.co/org/name/raw/main/model.gguf";
const MIRROR: &str = "https://mirror.example/org/name/resolve/main/model.gguf";

fn bytes(size: usize) -> Vec<u8> {
    (0..size).map(|i| (i * 7 % 251) as u8).collect()
}

fn net<'a>(time: &'a Time, files: impl IntoIterator<Item = (&'static str, File)>) -> Net<'a> {
    let mut net = Net::new(time, &|_| {});
    net.files.extend(files.into_iter().map(|(url, file)| (url.to_string(), file)));
    net
}

fn plan(net: &Net, shelf: &Shelf, mirrors: &[&str]) -> Result<Plan> {
    let mirrors: Vec<String> = mirrors.iter().map(|&url| url.into()).collect();
    net.time.run(plan_url(&net, shelf, net.time, URL, &mirrors, 3), None).unwrap()
}

fn fetch(net: &Net, shelf: &Shelf, plan: &Plan) -> Result<()> {
    let transfer = Transfer::new((&net, shelf, net.time), plan, Limits::default(), &|_| {});
    net.time.run(transfer.run(), None).unwrap()
}

/// A file of a version that its server calls `tag`.
fn tagged(tag: &str) -> File {
    File { tag: Some(tag.into()), ..File::new(&bytes(5000)) }
}

/// A server that has `file`, a shelf to which all of it was fetched, and its plan.
fn fetched(time: &Time, file: File) -> (Net<'_>, Shelf<'_>, Plan) {
    let (net, shelf) = (net(time, [(URL, file)]), Shelf::new(time));
    let plan = plan(&net, &shelf, &[]).unwrap();
    assert_eq!(fetch(&net, &shelf, &plan), Ok(()));
    (net, shelf, plan)
}

#[test]
fn the_size_is_found_where_headers_are_hidden() {
    let time = Time::new(1);
    let file = File { hidden: vec!["content-range", "etag"], ..File::new(&bytes(5000)) };
    let net = net(&time, [(URL, file)]);
    let plan = plan(&net, &Shelf::new(&time), &[]).unwrap();
    assert_eq!((plan.size_bytes, plan.ranges), (5000, true));
    assert!(net.asked.borrow()[1].head);
}

#[test]
fn web_pages_are_no_files() {
    let time = Time::new(1);
    let net = net(&time, [(URL, File::new(&bytes(5000)))]);
    net.files[URL].faults.borrow_mut().push_back(Fault::Page);
    assert_eq!(plan(&net, &Shelf::new(&time), &[]).unwrap_err().code(), "not_found");
}

#[test]
fn asking_is_patient_and_knows_mirrors() {
    let time = Time::new(1);
    let net = net(&time, [(URL, File::new(&bytes(5000))), (MIRROR, File::new(&bytes(5000)))]);
    net.files[URL].faults.borrow_mut().extend([Fault::Status(503), Fault::Refused]);
    let shelf = Shelf::new(&time);
    assert_eq!(plan(&net, &shelf, &[]).unwrap().size_bytes, 5000);
    net.files[URL].faults.borrow_mut().push_back(Fault::Silence);
    net.asked.borrow_mut().clear();
    let begun = time.now_ms();
    assert_eq!(plan(&net, &shelf, &[MIRROR]).unwrap().mirrors, [MIRROR]);
    assert_eq!(net.asked.borrow()[1].url, MIRROR);
    assert!(time.now_ms() - begun < 6000, "it does not wait for one that hangs");
}

#[test]
fn the_hash_is_that_of_the_pointer() {
    let time = Time::new(1);
    let file = bytes(1 << 20);
    let pointer =
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n", sha256(&file), 1 << 20);
    let net = net(&time, [(URL, File::new(&file)), (POINTER, File::new(pointer.as_bytes()))]);
    let shelf = Shelf::new(&time);
    let plan = plan(&net, &shelf, &[]).unwrap();
    assert_eq!(plan.sha256, Some(sha256(&file)));
    assert_eq!(fetch(&net, &shelf, &plan), Ok(()));
    // Once it is found right it is not read again.
    let known = self::plan(&net, &shelf, &[]).unwrap();
    assert!(known.checked);
    shelf.rot(&plan.key, 0, 7);
    assert_eq!(fetch(&net, &shelf, &known), Ok(()));
}

#[test]
fn without_a_network_what_is_here_is_used() {
    let time = Time::new(1);
    let here = net(&time, [(URL, File::new(&bytes(5000)))]);
    let shelf = Shelf::new(&time);
    let whole = plan(&here, &shelf, &[]).unwrap();
    let gone = net(&time, []);
    assert_eq!(plan(&gone, &shelf, &[]).unwrap_err().code(), "network");
    assert_eq!(fetch(&here, &shelf, &whole), Ok(()));
    assert_eq!(plan(&gone, &shelf, &[]), Ok(whole.clone()));
    assert_eq!(fetch(&gone, &shelf, &whole), Ok(()));
    assert_eq!(gone.asked.borrow().len(), 3 + 1, "asked once where all is here");
}

#[test]
fn a_new_version_takes_the_place_of_the_old_one() {
    let time = Time::new(1);
    let (_, shelf, first) = fetched(&time, tagged("old"));
    // One that comes while the other is fetched must not be mixed with it.
    let new = net(&time, [(URL, tagged("new"))]);
    assert_eq!(fetch(&new, &Shelf::new(&time), &first), Err(Error::Replaced { url: URL.into() }));
    let second = plan(&new, &shelf, &[]).unwrap();
    assert_ne!(first.key, second.key);
    assert_eq!(fetch(&new, &shelf, &second), Ok(()));
    assert_eq!(shelf.plans.borrow().keys().collect::<Vec<_>>(), [&second.key]);
}

#[test]
fn without_a_network_a_whole_version_is_better_than_part_of_a_newer_one() {
    let time = Time::new(1);
    let (_, shelf, whole) = fetched(&time, tagged("old"));
    // Keys are hashes: some come before the other's, some behind.
    for tag in ["a", "b", "c", "d"] {
        let begun = plan(&net(&time, [(URL, tagged(tag))]), &shelf, &[]).unwrap();
        assert_ne!(begun.key, whole.key);
        shelf.plans.borrow_mut().insert(begun.key.clone(), begun);
    }
    assert_eq!(plan(&net(&time, []), &shelf, &[]), Ok(whole));
}

#[test]
fn a_full_storage_takes_no_notes_and_gives_what_it_has() {
    let time = Time::new(1);
    let (net, shelf, plan) = fetched(&time, File::new(&bytes(5000)));
    shelf.chunks.borrow_mut().values_mut().for_each(|chunk| chunk.hash = None);
    let net = &net;
    let transfer = Transfer::new((&net, &shelf, &time), &plan, Limits::default(), &|_| {});
    for write in [Write::Full, Write::Fails] {
        shelf.writes.borrow_mut().push_back(write);
        assert_eq!(time.run(transfer.read(0), None), Some(Ok(bytes(5000))));
        assert!(shelf.writes.borrow().is_empty());
    }
}

#[test]
fn a_storage_that_hesitates_is_asked_again() {
    let time = Time::new(1);
    let net = net(&time, [(URL, File::new(&bytes(5000)))]);
    let shelf = Shelf::new(&time);
    let plan = plan(&net, &shelf, &[]).unwrap();
    net.asked.borrow_mut().clear();
    shelf.writes.borrow_mut().extend([Write::Fails, Write::Fails]);
    assert_eq!(fetch(&net, &shelf, &plan), Ok(()));
    assert_eq!(net.asked.borrow().len(), 1);
}

#[test]
fn what_came_from_a_disk_is_asked_of_nobody() {
    let time = Time::new(1);
    let net = net(&time, []);
    let shelf = Shelf::new(&time);
    let plan = Plan::of_file("model.gguf", 5000, 1);
    let net = &net;
    let transfer = Transfer::new((&net, &shelf, &time), &plan, Limits::default(), &|_| {});
    let import = async {
        transfer.begin().await?;
        transfer.give(0, &bytes(5000)).await?;
        transfer.end().await
    };
    assert_eq!(time.run(import, None), Some(Ok(())));
    assert_eq!(time.run(transfer.read(0), None), Some(Ok(bytes(5000))));
    shelf.rot(&plan.key, 0, 7);
    let cause = Error::Imported.into();
    assert_eq!(time.run(transfer.read(0), None), Some(Err(Error::Rotten { index: 0, cause })));
    assert!(net.asked.borrow().is_empty());
}
