// Writes down when each kernel, copy and wait of a CUDA program began and ended, in nanoseconds, through CUPTI. The driver loads
// this library into any program that starts with CUDA_INJECTION64_PATH naming it; HUMEA_KERNELS names the file it writes.
//
//   g++ -std=c++17 -O2 -shared -fPIC -I<cuda>/include -o kernels.so benches/gpu/kernels.cpp -L<cuda>/lib -l:libcupti.so.13
#include <cupti.h>

#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <mutex>

namespace {
std::FILE* out = nullptr;
std::mutex writing;

void asked(uint8_t** buffer, size_t* size, size_t* records) {
    *size = 8 << 20;
    *records = 0;
    *buffer = static_cast<uint8_t*>(std::aligned_alloc(8, *size));
}

void write_down(const CUpti_Activity* record) {
    auto line = [](const char* what, uint64_t start, uint64_t end, uint64_t bytes, const char* name) {
        std::fprintf(out, "%s\t%llu\t%llu\t%llu\t%s\n", what, (unsigned long long)start, (unsigned long long)end,
                     (unsigned long long)bytes, name);
    };
    switch (record->kind) {
        case CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL: {
            auto* kernel = reinterpret_cast<const CUpti_ActivityKernel10*>(record);
            return line("kernel", kernel->start, kernel->end, 0, kernel->name);
        }
        case CUPTI_ACTIVITY_KIND_MEMCPY: {
            auto* copy = reinterpret_cast<const CUpti_ActivityMemcpy6*>(record);
            bool from_device = copy->copyKind == CUPTI_ACTIVITY_MEMCPY_KIND_DTOH;
            bool to_device = copy->copyKind == CUPTI_ACTIVITY_MEMCPY_KIND_HTOD;
            return line("copy", copy->start, copy->end, copy->bytes, from_device ? "to host" : to_device ? "to device" : "within");
        }
        case CUPTI_ACTIVITY_KIND_MEMSET: {
            auto* set = reinterpret_cast<const CUpti_ActivityMemset4*>(record);
            return line("set", set->start, set->end, set->bytes, "");
        }
        case CUPTI_ACTIVITY_KIND_SYNCHRONIZATION: {
            auto* wait = reinterpret_cast<const CUpti_ActivitySynchronization2*>(record);
            return line("wait", wait->start, wait->end, 0, "");
        }
        default:
            return;
    }
}

void filled(CUcontext, uint32_t, uint8_t* buffer, size_t, size_t valid) {
    std::lock_guard<std::mutex> lock(writing);
    CUpti_Activity* record = nullptr;
    while (valid > 0 && cuptiActivityGetNextRecord(buffer, valid, &record) == CUPTI_SUCCESS) write_down(record);
    std::free(buffer);
}

void at_end() {
    cuptiActivityFlushAll(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED);
    std::fclose(out);
}
}  // namespace

extern "C" int InitializeInjection() {
    const char* path = std::getenv("HUMEA_KERNELS");
    out = std::fopen(path ? path : "kernels.tsv", "w");
    if (!out) return 0;
    cuptiActivityRegisterCallbacks(asked, filled);
    for (auto kind : {CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL, CUPTI_ACTIVITY_KIND_MEMCPY, CUPTI_ACTIVITY_KIND_MEMSET,
                      CUPTI_ACTIVITY_KIND_SYNCHRONIZATION})
        cuptiActivityEnable(kind);
    std::atexit(at_end);
    return 1;
}
