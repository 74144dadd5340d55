//! The adapter and its device: what it can do, and how it fails.

use std::sync::{Arc, Mutex};

use hearth_engine::{Error, Result};

use crate::kernels::{Kernels, Offers};

/// An open device.
#[derive(Clone)]
pub struct Gpu {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    /// What the adapter calls itself.
    pub name: String,
    /// Whether it is a program on the CPU.
    pub software: bool,
    /// How it makes products.
    pub(crate) kernels: Kernels,
    /// What else it could make them with.
    pub offers: Offers,
    failure: Arc<Mutex<Option<String>>>,
}

/// A failure of the device, or of what was asked of it.
pub(crate) fn failed(what: impl std::fmt::Display) -> Error {
    Error::Gpu(what.to_string())
}

impl Gpu {
    /// Opens the adapter that the system prefers for hard work, with the limits that it offers.
    pub async fn open() -> Result<Gpu> {
        let backends =
            if cfg!(target_arch = "wasm32") { wgpu::Backends::BROWSER_WEBGPU } else { wgpu::Backends::PRIMARY };
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
            backends,
            ..wgpu::InstanceDescriptor::new_without_display_handle()
        });
        let options = wgpu::RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..wgpu::RequestAdapterOptions::default()
        };
        let adapter =
            instance.request_adapter(&options).await.map_err(|error| failed(format!("no adapter: {error}")))?;
        let (offered, defaults) = (adapter.limits(), wgpu::Limits::default());
        let limits = wgpu::Limits {
            max_buffer_size: offered.max_buffer_size,
            max_storage_buffer_binding_size: offered.max_storage_buffer_binding_size,
            ..defaults
        };
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("hearth"),
            // Its clock, its subgroups and its f16, if it has them.
            required_features: adapter.features()
                & (wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::SUBGROUP | wgpu::Features::SHADER_F16),
            required_limits: limits.or_worse_values_from(&offered),
            ..wgpu::DeviceDescriptor::default()
        };
        let (device, queue) = adapter.request_device(&descriptor).await.map_err(failed)?;
        let failure = Arc::new(Mutex::new(None));
        let note = |failure: &Arc<Mutex<Option<String>>>, what: String| {
            failure.lock().expect("nobody panics with it").get_or_insert(what);
        };
        let lost = failure.clone();
        device.set_device_lost_callback(move |_, what| note(&lost, format!("the device is lost: {what}")));
        let uncaptured = failure.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| note(&uncaptured, error.to_string())));
        let info = adapter.get_info();
        // Browsers say little of their adapters; that of Chromium without a GPU is named.
        let software = info.device_type == wgpu::DeviceType::Cpu || info.name.to_lowercase().contains("swiftshader");
        let offers = Offers::of(&device);
        Ok(Gpu { device, queue, name: info.name, software, kernels: Kernels::PLAIN, offers, failure })
    }

    /// How it makes products.
    pub fn kernels(&self) -> Kernels {
        self.kernels
    }

    /// Makes products like this from now on; what the adapter does not offer, in f32. See [`Gpu::tune`].
    pub fn with(mut self, kernels: Kernels) -> Gpu {
        self.kernels = kernels.within(self.offers);
        self
    }

    /// Errors if anything has failed since the device was opened; nothing it gives is to be believed then.
    pub fn check(&self) -> Result<()> {
        match self.failure.lock().expect("nobody panics with it").as_ref() {
            Some(what) => Err(failed(what)),
            None => Ok(()),
        }
    }

    /// Waits until everything asked of the device so far is done; errors if any of it failed.
    pub async fn idle(&self) -> Result<()> {
        let (tell, told) = futures_channel::oneshot::channel();
        self.queue.on_submitted_work_done(move || {
            let _ = tell.send(()); // nobody waits any more
        });
        self.wait(None)?;
        told.await.map_err(|_| failed("the device went away"))?;
        self.check()
    }

    /// Waits for the work `after`, or for all; a browser goes on by itself.
    fn wait(&self, after: Option<wgpu::SubmissionIndex>) -> Result<()> {
        if cfg!(not(target_arch = "wasm32")) {
            self.device.poll(wgpu::PollType::Wait { submission_index: after, timeout: None }).map_err(failed)?;
        }
        Ok(())
    }

    /// Bytes that a kernel can see of one buffer.
    pub(crate) fn most_bytes(&self) -> usize {
        let limits = self.device.limits();
        let most = limits.max_buffer_size.min(limits.max_storage_buffer_binding_size);
        usize::try_from(most).unwrap_or(usize::MAX)
    }

    /// A buffer of zeros that kernels read and write.
    pub(crate) fn storage(&self, label: &str, bytes: usize) -> Result<wgpu::Buffer> {
        use wgpu::BufferUsages as Usage;
        self.buffer(label, bytes, Usage::STORAGE | Usage::COPY_DST | Usage::COPY_SRC)
    }

    pub(crate) fn buffer(&self, label: &str, bytes: usize, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
        if bytes > self.most_bytes() {
            return Err(failed(format!(
                "{label} needs {bytes} bytes in a piece, the adapter allows {}",
                self.most_bytes()
            )));
        }
        let size = bytes.next_multiple_of(16).max(16) as u64;
        Ok(self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size,
            usage,
            mapped_at_creation: false,
        }))
    }

    /// Asks for what `landing`, a buffer for mapping, holds of the first `bytes` once the work `after` is done. The asking is
    /// done at once; the future is the answer.
    pub(crate) fn read(
        &self,
        landing: &wgpu::Buffer,
        bytes: usize,
        after: wgpu::SubmissionIndex,
    ) -> impl Future<Output = Result<Vec<u8>>> + use<> {
        let (tell, told) = futures_channel::oneshot::channel();
        landing.map_async(wgpu::MapMode::Read, ..bytes as u64, move |result| {
            let _ = tell.send(result); // nobody waits any more
        });
        let (gpu, landing) = (self.clone(), landing.clone());
        async move {
            gpu.wait(Some(after))?;
            if let Err(error) = told.await.map_err(|_| failed("the device went away"))? {
                // Why, the device says by itself, a little later.
                gpu.idle().await?;
                return Err(failed(error));
            }
            let bytes = landing.get_mapped_range(..bytes as u64).map_err(failed)?.to_vec();
            landing.unmap();
            gpu.check()?;
            Ok(bytes)
        }
    }
}
