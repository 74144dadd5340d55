//! A saved conversation: as it is, and with a head and a checksum that are right, so that what is behind them is reached.
#![no_main]

use std::cell::RefCell;

use hearth_engine::generate::Session;
use libfuzzer_sys::fuzz_target;
use twox_hash::XxHash64;

const MODEL: &[u8] = include_bytes!("../../fixtures/tiny-llama-q8_0.gguf");

/// Magic and version; the length of the rest; the model.
const HEAD: [usize; 3] = [12, 20, 28];

thread_local! {
    static OPEN: RefCell<(Session, Vec<u8>)> = RefCell::new({
        let mut session = fuzz::load(&[("model.gguf", MODEL)], 1 << 20).expect("a fixture");
        let saved = pollster::block_on(session.save()).expect("nothing was said");
        (session, saved)
    });
}

/// `bytes` behind the head of a conversation that was really saved.
fn sealed(bytes: &[u8], saved: &[u8]) -> Vec<u8> {
    let rest = (HEAD[2] - HEAD[1] + bytes.len() + 8) as u64;
    let mut sealed = [&saved[..HEAD[0]], &rest.to_le_bytes(), &saved[HEAD[1]..HEAD[2]], bytes].concat();
    sealed.extend(XxHash64::oneshot(0, &sealed).to_le_bytes());
    sealed
}

fuzz_target!(|bytes: &[u8]| {
    OPEN.with_borrow_mut(|(session, saved)| {
        fuzz::bounded(bytes.len(), || {
            let _ = session.restore(bytes);
            let _ = session.restore(&sealed(bytes, saved));
        });
    });
});
