//! Ways of making products that differ in speed and last digits, by what an adapter offers.

use serde::{Deserialize, Serialize};

/// How products are made. To add one: also `PRODUCTS` in `web/worker/device.js`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Product {
    /// Weights become f32 before they are shared.
    F32,
    /// Their codes are shared and become f32 after; sums of a block, or of half of it, meet the scales.
    Codes,
    /// Weights and activations become f16 where they are shared, and f32 again after.
    F16,
    /// Codes by activations rounded to a byte each: four products of integers in an instruction.
    Bytes,
}

impl Product {
    /// How far products may be from those in f32, relative, by rounding alone.
    pub(crate) fn most_apart(self) -> f32 {
        match self {
            Product::F32 | Product::Codes => 1e-3,
            Product::F16 => 5e-3,
            Product::Bytes => 2e-2,
        }
    }
}

/// How a device makes products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernels {
    /// Those with a single token: in bytes or, whatever else this says, in f32.
    pub matvec: Product,
    /// Those with several.
    pub matmul: Product,
    /// Whether neighbouring threads share what they have read.
    pub subgroups: bool,
}

impl Kernels {
    /// What every adapter can do.
    pub const PLAIN: Kernels = Kernels { matvec: Product::F32, matmul: Product::F32, subgroups: false };

    /// The same with f32 and without subgroups where something else is not offered.
    pub fn within(self, offers: Offers) -> Kernels {
        let offered = |product| match product {
            Product::F16 if !offers.f16 => Product::F32,
            Product::Bytes if !offers.bytes => Product::F32,
            product => product,
        };
        let Kernels { matvec, matmul, subgroups } = self;
        Kernels { matvec: offered(matvec), matmul: offered(matmul), subgroups: subgroups && offers.subgroups }
    }
}

impl std::fmt::Display for Kernels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Kernels { matvec, matmul, subgroups } = self;
        let subgroups = if *subgroups { ", subgroups" } else { "" };
        write!(f, "wgsl: {matvec:?}, {matmul:?}{subgroups}")
    }
}

/// What an adapter has besides WebGPU's defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offers {
    /// Sharing between neighbouring threads.
    pub subgroups: bool,
    /// Half precision.
    pub f16: bool,
    /// Products of four bytes at once.
    pub bytes: bool,
}

impl Offers {
    /// Those of this device. wgpu brings products of bytes where a system has none.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn of(device: &wgpu::Device) -> Offers {
        let has = |feature| device.features().contains(feature);
        Offers { subgroups: has(wgpu::Features::SUBGROUP), f16: has(wgpu::Features::SHADER_F16), bytes: true }
    }

    /// Those of this device. For subgroups wgpu has no name in browsers: `worker/engine.js` asks for them and says here whether
    /// there are any.
    #[cfg(target_arch = "wasm32")]
    pub(crate) fn of(device: &wgpu::Device) -> Offers {
        let get = |of: &wasm_bindgen::JsValue, key: &str| js_sys::Reflect::get(of, &key.into()).unwrap_or_default();
        let features = get(&get(&get(&js_sys::global(), "navigator"), "gpu"), "wgslLanguageFeatures");
        // Like a Set, where there is one.
        let known = |name: &str| features.is_object() && js_sys::Set::from(features.clone()).has(&name.into());
        Offers {
            subgroups: get(&js_sys::global(), "hearth_subgroups").is_truthy(),
            f16: device.features().contains(wgpu::Features::SHADER_F16),
            bytes: known("packed_4x8_integer_dot_product"),
        }
    }
}
