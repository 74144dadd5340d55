//! Dispatches: a pipeline, what is bound to it and its grid, all made once. What a shader declares and what is bound to it come
//! from one list, so they cannot disagree; pipelines of one text are one.

use std::collections::HashMap;

use hearth_engine::Result;

use crate::device::Gpu;

/// What a shader sees of a buffer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// A few numbers, the same for all.
    Uniform,
    /// Only read.
    Read,
    /// Read and written.
    Write,
}

/// A buffer by the name and type that a shader knows it under.
#[derive(Clone)]
pub struct Binding<'a> {
    name: String,
    access: Access,
    kind: String,
    buffer: &'a wgpu::Buffer,
}

/// `buffer` as `name`, of the WGSL type `kind`.
pub fn bind<'a>(name: &str, access: Access, kind: impl Into<String>, buffer: &'a wgpu::Buffer) -> Binding<'a> {
    Binding { name: name.into(), access, kind: kind.into(), buffer }
}

/// Workgroups along an axis.
#[derive(Clone, Copy)]
pub enum Extent {
    /// As many, always.
    Fixed(usize),
    /// One for every so many tokens of the run.
    Tokens(usize),
}

use Extent::{Fixed, Tokens};

/// One dispatch.
pub struct Step {
    /// The operation it is a part of.
    pub label: &'static str,
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
    grid: [Extent; 3],
}

impl Step {
    /// Records it for a run of `tokens`.
    pub fn record(&self, pass: &mut wgpu::ComputePass<'_>, tokens: usize) {
        let [x, y, z] = self.grid.map(|extent| match extent {
            Fixed(n) => n as u32,
            Tokens(per) => tokens.div_ceil(per) as u32,
        });
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.group, &[]);
        pass.dispatch_workgroups(x, y, z);
    }
}

/// Makes steps.
pub struct Maker<'a> {
    gpu: &'a Gpu,
    pipelines: HashMap<String, wgpu::ComputePipeline>,
}

impl<'a> Maker<'a> {
    /// For this device.
    pub fn new(gpu: &'a Gpu) -> Maker<'a> {
        Maker { gpu, pipelines: HashMap::new() }
    }

    /// A small buffer that never changes.
    pub fn uniform(&self, label: &str, words: &[u32]) -> Result<wgpu::Buffer> {
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let buffer = self.gpu.buffer(label, size_of_val(words), usage)?;
        self.gpu.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(words));
        Ok(buffer)
    }

    /// A step that runs `main` of the joined `texts` over `bindings`.
    pub fn step(&mut self, label: &'static str, texts: &[&str], bindings: &[Binding], grid: [Extent; 3]) -> Step {
        let mut text = String::new();
        for (i, Binding { name, access, kind, .. }) in bindings.iter().enumerate() {
            let space = match access {
                Access::Uniform => "var<uniform>",
                Access::Read => "var<storage, read>",
                Access::Write => "var<storage, read_write>",
            };
            text += &format!("@group(0) @binding({i}) {space} {name}: {kind};\n");
        }
        text += include_str!("shaders/common.wgsl");
        text.extend(texts.iter().copied());
        let device = &self.gpu.device;
        let pipeline = self.pipelines.entry(text).or_insert_with_key(|text| {
            let mut enable = if text.contains("f16>") { "enable f16;\n".to_owned() } else { String::new() };
            // Browsers want to be told; wgpu's own compiler does not know that they do.
            if cfg!(target_arch = "wasm32") && text.contains("quadBroadcast") {
                enable += "enable subgroups;\n";
            }
            let source = wgpu::ShaderSource::Wgsl(format!("{enable}{text}").into());
            let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label: Some(label), source });
            device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(label),
                layout: None,
                module: &module,
                entry_point: Some("main"),
                // What a workgroup reads of its memory it has written before.
                compilation_options: wgpu::PipelineCompilationOptions {
                    zero_initialize_workgroup_memory: false,
                    ..wgpu::PipelineCompilationOptions::default()
                },
                cache: None,
            })
        });
        let entries: Vec<_> = bindings
            .iter()
            .zip(0..)
            .map(|(bound, binding)| wgpu::BindGroupEntry { binding, resource: bound.buffer.as_entire_binding() })
            .collect();
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(label),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        Step { label, pipeline: pipeline.clone(), group, grid }
    }
}
