//! Tokens chosen on the device, several of them under way: the next run finds its token where the one before put it, so the device
//! never waits for anybody. They come back a word each.

use std::collections::VecDeque;
use std::pin::Pin;

use hearth_engine::Result;
use hearth_engine::sampling::Sampling;

use crate::device::Gpu;

/// Tokens under way at most.
pub const MOST_AHEAD: usize = 4;

/// A token on its way, and the buffer it lands in.
struct Coming {
    token: Pin<Box<dyn Future<Output = Result<Vec<u8>>>>>,
    landing: wgpu::Buffer,
}

/// Tokens under way.
pub struct Ahead {
    coming: VecDeque<Coming>,
    free: Vec<wgpu::Buffer>,
    /// How the tokens under way are chosen, and the last that was given away; none when what is under way is no longer wanted.
    going: Option<(Sampling, u32)>,
}

impl Ahead {
    /// None yet.
    pub fn new(gpu: &Gpu) -> Result<Ahead> {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let free = (0..MOST_AHEAD).map(|_| gpu.buffer("token", 4, usage)).collect::<Result<_>>()?;
        Ok(Ahead { coming: VecDeque::new(), free, going: None })
    }

    /// How many are under way.
    pub fn len(&self) -> usize {
        self.coming.len()
    }

    /// Whether the next token under way is the one after `tokens`.
    pub fn continues(&self, tokens: &[u32], sampling: &Sampling) -> bool {
        self.going.as_ref().is_some_and(|(how, last)| how == sampling && tokens == [*last])
    }

    /// Nobody wants what is under way.
    pub fn give_up(&mut self) {
        self.going = None;
    }

    /// Waits until nothing is under way.
    pub async fn settle(&mut self) -> Result<()> {
        self.give_up();
        while self.coming.front().is_some() {
            self.land().await?;
        }
        Ok(())
    }

    /// Submits work after which the token at `position` of `tokens` is wanted.
    pub fn send(&mut self, gpu: &Gpu, mut encoder: wgpu::CommandEncoder, tokens: &wgpu::Buffer, position: usize) {
        let landing = self.free.pop().expect("fewer than MOST_AHEAD are under way");
        encoder.copy_buffer_to_buffer(tokens, position as u64 * 4, &landing, 0, 4);
        let after = gpu.queue.submit([encoder.finish()]);
        let token = Box::pin(gpu.read(&landing, 4, after));
        self.coming.push_back(Coming { token, landing });
    }

    /// The next token, chosen by `sampling`.
    pub async fn next(&mut self, sampling: &Sampling) -> Result<u32> {
        let token = self.land().await?;
        self.going = Some((sampling.clone(), token));
        Ok(token)
    }

    async fn land(&mut self) -> Result<u32> {
        let Coming { token, landing } = self.coming.pop_front().expect("one is under way");
        let bytes = token.await;
        self.free.push(landing);
        let bytes = bytes.inspect_err(|_| self.give_up())?;
        Ok(bytemuck::pod_read_unaligned(&bytes))
    }
}
