//! Weights on the device: cut into parts that a kernel can see whole, filled run by run as the file arrives.

use hearth_engine::Result;
use hearth_engine::formats::gguf::ROW_RUN;
use hearth_engine::program::Weight;

use crate::device::{Gpu, failed};
use crate::layout::{BLOCK, Layout, REGIONS, layout};

/// Bytes gathered before they are sent.
const SEND: usize = 1 << 20;

/// Rows of a weight in a buffer.
pub struct Part {
    /// The first of them.
    pub first: usize,
    /// How many.
    pub rows: usize,
    /// Where each region begins, in bytes.
    pub offsets: [usize; REGIONS],
    /// All regions.
    pub buffer: wgpu::Buffer,
}

impl Part {
    /// Where each region begins, in vectors of four words.
    pub fn vectors(&self) -> [usize; REGIONS] {
        self.offsets.map(|bytes| bytes / 16)
    }
}

/// A matrix on the device.
pub struct Matrix {
    spec: Weight,
    /// How it lies there.
    pub layout: Layout,
    /// Blocks in a row.
    pub blocks: usize,
    /// In the order of rows.
    pub parts: Vec<Part>,
    /// Of each region, rows that have come and are not sent yet.
    waiting: [Vec<u8>; REGIONS],
    sent: usize,
}

impl Matrix {
    /// Memory for `spec`; its rows come next.
    pub fn new(gpu: &Gpu, spec: &Weight) -> Result<Matrix> {
        let layout = layout(spec.format);
        let blocks = spec.cols.next_multiple_of(layout.per()) / BLOCK;
        let row_bytes = layout.row_bytes(blocks);
        let most = gpu.most_bytes().saturating_sub(16 * REGIONS) / row_bytes.iter().sum::<usize>() / ROW_RUN * ROW_RUN;
        if most == 0 {
            return Err(failed(format!("{} has rows too long for this adapter", spec.name)));
        }
        let part = |first| {
            let rows = most.min(spec.rows - first);
            let mut end = 0;
            let offsets = row_bytes.map(|bytes| {
                let at = end;
                end += (bytes * rows).next_multiple_of(16);
                at
            });
            Ok(Part { first, rows, offsets, buffer: gpu.storage(&spec.name, end)? })
        };
        let parts = (0..spec.rows).step_by(most).map(part).collect::<Result<_>>()?;
        Ok(Matrix { spec: spec.clone(), layout, blocks, parts, waiting: Default::default(), sent: 0 })
    }

    /// Takes the next rows, as the file stores them.
    pub fn load_rows(&mut self, gpu: &Gpu, bytes: &[u8]) {
        let Weight { format, cols, rows, .. } = self.spec;
        let size = format.row_bytes(cols).expect("checked at load");
        let row_bytes = self.layout.row_bytes(self.blocks);
        for run in bytes.chunks(size * ROW_RUN) {
            run.chunks_exact(size).for_each(|row| self.layout.split(format, cols, row, &mut self.waiting));
            let next = self.sent + self.waiting[0].len() / row_bytes[0];
            let part = self.parts.iter().find(|part| self.sent < part.first + part.rows).expect("a part for every row");
            if self.waiting[0].len() < SEND && next < rows.min(part.first + part.rows) {
                continue;
            }
            for ((waiting, bytes), offset) in self.waiting.iter_mut().zip(row_bytes).zip(part.offsets) {
                waiting.resize(waiting.len().next_multiple_of(4), 0);
                if !waiting.is_empty() {
                    gpu.queue.write_buffer(&part.buffer, (offset + bytes * (self.sent - part.first)) as u64, waiting);
                }
                waiting.clear();
            }
            self.sent = next;
        }
        if self.sent == rows {
            self.waiting = Default::default();
        }
    }
}
