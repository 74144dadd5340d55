//! A catalog of models, and the plan of each download.
#![no_main]

use hearth_store::catalog::Catalog;
use hearth_store::plan::Plan;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    fuzz::bounded(bytes.len(), || {
        let Ok(catalog) = serde_json::from_slice::<Catalog>(bytes) else { return };
        for entry in &catalog.models {
            let plan = Plan::of_entry(entry, "models/shards");
            if plan.count() > 0 {
                plan.extent(0);
                plan.extent(plan.count() - 1);
            }
        }
    });
});
