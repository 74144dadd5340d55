//! How long each kind of operation takes, by the device's own clock.

use hearth_engine::Result;
use hearth_engine::executor::OpTime;

use crate::device::Gpu;
use crate::steps::Step;

/// Runs `steps` over `tokens`, each in a pass of its own, `repeats` times, each time after `prepare`, and tells the shortest time
/// of each, summed by label, in the order of the first of each; nothing where the device has no clock.
pub async fn profile(
    gpu: &Gpu,
    steps: &[&Step],
    tokens: usize,
    repeats: usize,
    prepare: impl Fn(),
) -> Result<Vec<OpTime>> {
    use wgpu::BufferUsages as Usage;
    if !gpu.device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
        return Ok(Vec::new());
    }
    let count = 2 * steps.len();
    let bytes = 8 * count;
    let queries = gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
        label: Some("times"),
        ty: wgpu::QueryType::Timestamp,
        count: count as u32,
    });
    let resolved = gpu.buffer("times", bytes, Usage::QUERY_RESOLVE | Usage::COPY_SRC)?;
    let landing = gpu.buffer("times", bytes, Usage::MAP_READ | Usage::COPY_DST)?;
    let mut shortest = vec![f64::INFINITY; steps.len()];
    for _ in 0..repeats {
        prepare();
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        for (i, step) in (0..).zip(steps) {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: None,
                timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                    query_set: &queries,
                    beginning_of_pass_write_index: Some(2 * i),
                    end_of_pass_write_index: Some(2 * i + 1),
                }),
            });
            step.record(&mut pass, tokens);
        }
        encoder.resolve_query_set(&queries, 0..count as u32, &resolved, 0);
        encoder.copy_buffer_to_buffer(&resolved, 0, &landing, 0, bytes as u64);
        let after = gpu.queue.submit([encoder.finish()]);
        let read = gpu.read(&landing, bytes, after).await?;
        for (pair, shortest) in read.as_chunks::<16>().0.iter().zip(&mut shortest) {
            let [begin, end] = [0, 8].map(|at| u64::from_le_bytes(pair[at..at + 8].try_into().expect("eight bytes")));
            *shortest =
                shortest.min(end.saturating_sub(begin) as f64 * f64::from(gpu.queue.get_timestamp_period()) / 1e3);
        }
    }
    let mut times: Vec<OpTime> = Vec::new();
    for (step, microseconds) in steps.iter().zip(shortest) {
        match times.iter_mut().find(|time| time.op == step.label) {
            Some(time) => {
                time.dispatches += 1;
                time.microseconds += microseconds;
            }
            None => times.push(OpTime { op: step.label, dispatches: 1, microseconds }),
        }
    }
    Ok(times)
}
