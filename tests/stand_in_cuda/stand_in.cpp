// A stand-in for libtorch_cuda.so on a machine without a GPU: tensors "on CUDA" lie in the host's memory, and every operator on
// them runs on the CPU, but only after a look at where its arguments are, as the GPU's own kernels take one.
//
// It proves placement: that nothing on the host meets anything on the device, and how often the host waits for the device. It
// proves nothing about CUDA's kernels, their numbers, their limits or their speed. `scripts/stand_in_cuda.sh` builds and uses it.
//
// HUMEA_STAND_IN=report says on standard error, at the end, how often the host waited and for what, how many operators the device was
// asked for and how many bytes they read and wrote; =trace prints the stack of each wait too. HUMEA_STAND_IN_LIMIT is the number of
// bytes of the largest tensor that fits the device.

#include <ATen/EmptyTensor.h>
#include <ATen/core/CachingHostAllocator.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/col_indices_native.h>
#include <ATen/ops/crow_indices_native.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/resize_native.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/values_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/util/Backtrace.h>
#include <torch/library.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <iostream>
#include <map>
#include <mutex>
#include <set>

namespace {

using at::Tensor;
using c10::Device;
using c10::DeviceIndex;
using c10::DeviceType;
using c10::DispatchKey;
using c10::Stream;

const Device DEVICE(DeviceType::CUDA, 0);

std::string wanted() {
  const char* wanted = std::getenv("HUMEA_STAND_IN");
  return wanted ? wanted : "";
}

/// How often the host waited, by reason.
struct Waits {
  std::mutex lock;
  std::map<std::string, long> counts;
  ~Waits() {
    if (wanted().empty()) return;
    for (const auto& [reason, count] : counts) std::cerr << "stand-in: " << count << " waits for " << reason << "\n";
  }
} waits;

/// What the device was asked for.
struct Asked {
  std::atomic<long> operators{0}, bytes{0};
  ~Asked() {
    if (!wanted().empty()) std::cerr << "stand-in: " << operators << " operators, " << bytes << " bytes\n";
  }
  /// A tensor that is read or written; what is repeated by a stride of 0 counts once.
  void touch(const Tensor& tensor) {
    if (!tensor.defined() || !tensor.is_cuda() || tensor.layout() != c10::kStrided) return;
    bytes += std::min<long>(tensor.numel() * tensor.element_size(), tensor.storage().nbytes());
  }
  void touch(const c10::IValue& value) {
    if (value.isTensor()) touch(value.toTensor());
    if (value.isTensorList()) for (const Tensor& tensor : value.toTensorVector()) touch(tensor);
  }
} asked;

void wait(const std::string& reason) {
  std::lock_guard<std::mutex> guard(waits.lock);
  ++waits.counts[reason];
  if (wanted() == "trace") std::cerr << "stand-in: wait for " << reason << "\n" << c10::get_backtrace(1, 64, false) << "\n";
}

/// The device's. Fresh memory holds NaN, as a GPU's may, so that nobody can rely on zeros.
struct Memory final : c10::Allocator {
  c10::DataPtr allocate(size_t size) override {
    static const char* limit = std::getenv("HUMEA_STAND_IN_LIMIT");
    TORCH_CHECK_WITH(OutOfMemoryError, !limit || size <= std::strtoull(limit, nullptr, 10), "CUDA out of memory. Tried to allocate ", size, " bytes.");
    void* at = size ? std::aligned_alloc(64, (size + 63) / 64 * 64) : nullptr;
    if (at) std::memset(at, 0xff, size);
    return {at, at, &std::free, DEVICE};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &std::free; }
  void copy_data(void* to, const void* from, size_t size) const override { default_copy_data(to, from, size); }
} memory;

/// Pinned memory of the host.
struct Pinned final : at::HostAllocator {
  static Pinned& only() {
    static Pinned* only = new Pinned;
    return *only;
  }
  c10::DataPtr allocate(size_t size) override {
    void* at = std::malloc(size + 1);
    std::lock_guard<std::mutex> guard(lock);
    blocks.insert(at);
    return {at, at, &release, at::kCPU};
  }
  static void release(void* at) {
    std::lock_guard<std::mutex> guard(only().lock);
    only().blocks.erase(at);
    std::free(at);
  }
  bool holds(const void* at) {
    std::lock_guard<std::mutex> guard(lock);
    return blocks.count(at) > 0;
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, size_t size) const override { default_copy_data(to, from, size); }
  bool record_event(void*, void*, Stream) override { return true; }
  void empty_cache() override {}
  at::HostStats get_stats() override { return {}; }
  void reset_accumulated_stats() override {}
  void reset_peak_stats() override {}

  std::mutex lock;
  std::set<const void*> blocks;
};

struct Guard final : c10::impl::NoOpDeviceGuardImpl<DeviceType::CUDA> {
  Device exchangeDevice(Device) const override { return DEVICE; }
  Device getDevice() const override { return DEVICE; }
  Stream getStream(Device) const noexcept override { return Stream(Stream::DEFAULT, DEVICE); }
  Stream getDefaultStream(Device) const override { return Stream(Stream::DEFAULT, DEVICE); }
  Stream exchangeStream(Stream) const noexcept override { return Stream(Stream::DEFAULT, DEVICE); }
  void record(void**, const Stream&, const DeviceIndex, const c10::EventFlag) const override {}
  void block(void*, const Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
};

C10_REGISTER_GUARD_IMPL(CUDA, Guard)

}  // namespace

namespace at {

/// libtorch looks for a class of this name.
struct CUDAHooks final : CUDAHooksInterface {
  CUDAHooks(CUDAHooksArgs) {}
  void init() const override {}
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasCUDA() const override { return true; }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
  DeviceIndex deviceCount() const override { return 1; }
  DeviceIndex current_device() const override { return 0; }
  Allocator* getPinnedMemoryAllocator() const override { return &Pinned::only(); }
  bool isPinnedPtr(const void* at) const override { return Pinned::only().holds(at); }
};

REGISTER_CUDA_HOOKS(CUDAHooks)

}  // namespace at

// The CUDA runtime's marks, if this is loaded before it (LD_PRELOAD): everything is done at once, so each is passed as soon as it is set.
extern "C" {
int cudaEventCreateWithFlags(void** event, unsigned) {
  static char mark;
  *event = &mark;
  return 0;
}
int cudaEventRecord(void*, void*) { return 0; }
int cudaEventSynchronize(void*) {
  wait("a mark");
  return 0;
}
int cudaEventDestroy(void*) { return 0; }
}

namespace {

const bool ALLOCATORS = [] {
  c10::SetAllocator(DeviceType::CUDA, &memory);
  at::setHostAllocator(DeviceType::CUDA, &Pinned::only());
  return true;
}();

/// Set while an operator's arguments go to the CPU and back, as they would not on a GPU.
thread_local bool inside = false;

Tensor empty(at::IntArrayRef size, std::optional<at::ScalarType> kind, std::optional<at::Layout>, std::optional<Device>,
             std::optional<bool>, std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(size, &memory, c10::DispatchKeySet(DispatchKey::CUDA), at::dtype_or_default(kind), format);
}

Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef strides, std::optional<at::ScalarType> kind,
                     std::optional<at::Layout>, std::optional<Device>, std::optional<bool>) {
  const c10::DispatchKeySet keys(DispatchKey::CUDA);
  return at::detail::empty_strided_generic(size, strides, &memory, keys, at::dtype_or_default(kind));
}

/// The same memory as a tensor of the CPU.
Tensor on_host(const Tensor& of) {
  return of.is_cuda() ? at::from_blob(of.data_ptr(), of.sizes(), of.strides(), of.options().device(at::kCPU)) : of;
}

Tensor& copy(Tensor& to, const Tensor& from, bool non_blocking) {
  // For what goes into pinned memory only whoever wants to read it waits, at a mark.
  const bool sent = non_blocking && from.scalar_type() == to.scalar_type() && to.is_pinned();
  if (!inside && from.is_cuda() && to.is_cpu() && !sent) wait("a copy to the host");
  // Only a copy out of pinned memory, without a change of kind, takes its turn on the device.
  const bool queued = non_blocking && from.scalar_type() == to.scalar_type() && from.is_pinned();
  if (!inside && from.is_cpu() && to.is_cuda() && !queued) wait("a copy from the host");
  if (!inside) {
    ++asked.operators;
    asked.touch(from);
    asked.touch(to);
  }
  on_host(to).copy_(on_host(from));
  return to;
}

Tensor copy_and_resize(const Tensor& from, const Tensor& to) {
  return to.resize_(from.sizes()).copy_(from);
}

at::Scalar scalar(const Tensor& of) {
  if (!inside) wait("one number");
  return on_host(of).item();
}

/// Throws where a GPU's kernel would: numbers without dimension may be on the host, and so may an index's indices.
void check(const c10::OperatorHandle& op, const torch::jit::Stack& stack) {
  const std::set<std::string> indexing{"aten::index", "aten::index_put", "aten::_index_put_impl_"};
  const bool anywhere = indexing.count(op.schema().name()) > 0;
  bool device = false, host = false;
  auto look = [&](const Tensor& tensor) {
    if (tensor.defined() && (tensor.is_cuda() || tensor.dim() > 0)) (tensor.is_cuda() ? device : host) = true;
  };
  for (const auto& argument : torch::jit::last(stack, op.schema().arguments().size())) {
    if (argument.isTensor()) look(argument.toTensor());
    if (argument.isTensorList()) for (const Tensor& tensor : argument.toTensorVector()) look(tensor);
    if (argument.isOptionalTensorList() && !anywhere)
      for (const auto& tensor : argument.toOptionalTensorVector()) look(tensor.value_or(Tensor()));
  }
  TORCH_CHECK(!(host && device), "stand-in: arguments on the CPU and on CUDA for ", op.schema());
}

/// Operators whose result has a size that only the device knows, or that answer the host.
const std::set<std::string> WAITING{"aten::nonzero", "aten::masked_select", "aten::equal", "aten::_unique2", "aten::bincount"};

template <DispatchKey KEY>
void run(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  check(op, *stack);
  const bool outermost = !inside;
  if (outermost) {
    ++asked.operators;
    for (const auto& argument : torch::jit::last(*stack, op.schema().arguments().size())) asked.touch(argument);
  }
  const std::string& name = op.schema().name();
  if (WAITING.count(name) || (name == "aten::repeat_interleave" && stack->back().isNone())) wait("the result of " + name);
  struct Inside {
    bool before = std::exchange(inside, true);
    ~Inside() { inside = before; }
  } now;
  at::native::cpu_fallback(op, stack, /*error_on_views=*/true, KEY);
  // What an operator writes into is among its arguments.
  const bool into = std::any_of(op.schema().arguments().begin(), op.schema().arguments().end(),
                                [](const auto& argument) { return argument.alias_info() && argument.alias_info()->isWrite(); });
  if (outermost && !into)
    for (const auto& result : torch::jit::last(*stack, op.schema().returns().size())) asked.touch(result);
}

template <DispatchKey KEY>
torch::CppFunction fallback() {
  return torch::CppFunction::makeFromBoxedFunction<&run<KEY>>();
}

TORCH_LIBRARY_IMPL(_, CUDA, m) { m.fallback(fallback<DispatchKey::CPU>()); }
TORCH_LIBRARY_IMPL(_, SparseCsrCUDA, m) { m.fallback(fallback<DispatchKey::SparseCsrCPU>()); }

TORCH_LIBRARY_IMPL(aten, CUDA, m) {
  m.impl("empty.memory_format", empty);
  m.impl("empty_strided", empty_strided);
  m.impl("copy_", copy);
  m.impl("_copy_from_and_resize", copy_and_resize);
  m.impl("_local_scalar_dense", scalar);
  m.impl("as_strided", TORCH_FN(at::native::as_strided_tensorimpl));
  m.impl("view", TORCH_FN(at::native::view));
  m.impl("_reshape_alias", TORCH_FN(at::native::_reshape_alias));
  m.impl("resize_", TORCH_FN(at::native::resize_));
  m.impl("set_.source_Storage_storage_offset", TORCH_FN(at::native::set_storage_cpu_));
}

TORCH_LIBRARY_IMPL(aten, SparseCsrCUDA, m) {
  // A fallback comes after the kernel that dense matrices have.
  m.impl("mm", fallback<DispatchKey::SparseCsrCPU>());
  m.impl("values", TORCH_FN(at::native::values_sparse_csr));
  m.impl("crow_indices", TORCH_FN(at::native::crow_indices_sparse_csr));
  m.impl("col_indices", TORCH_FN(at::native::col_indices_sparse_csr));
}

}  // namespace
