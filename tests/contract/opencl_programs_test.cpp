// Programs of the OpenCL chip: what their groups take, and those that are kept: damaged ones, and those of a folder
// that others may write to, are made again.
#include <dlfcn.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <map>
#include <numeric>

#include "chips/gpu/kernel_table.h"
#include "chips/gpu/texts.h"
#include "tests/contract/opencl_rig.h"

namespace naru {
namespace {

namespace fs = std::filesystem;
using test::expect_first_cases;
using test::Folder;

// What a device must have is written down once, and is enough for every kernel.
TEST(Opencl, GroupsOfKernelsAreWithinTheirBounds) {
  SKIP_WHERE_ABSENT();
  using WorkGroupInfo = opencl::Int(opencl::KernelId, opencl::DeviceId, opencl::Uint, size_t, void*, size_t*);
  constexpr opencl::Uint kKernelLocalMemSize = 0x11b2;
  auto* const info =
      reinterpret_cast<WorkGroupInfo*>(::dlsym(::dlopen("libOpenCL.so.1", RTLD_NOW), "clGetKernelWorkGroupInfo"));
  ASSERT_NE(info, nullptr);
  const opencl::Api& api = *opencl::load_api().value();
  const opencl::DeviceFacts device = opencl::list_devices().value().front();
  const opencl::ContextId context = api.create_context(nullptr, 1, &device.id, nullptr, nullptr, nullptr);
  std::map<std::string_view, opencl::ProgramId> programs;
  uint64_t most = 0;
  size_t shared_chars = 0;  // what every program begins with
  for (const gpu::KernelText& text : gpu::kernel_texts()) {
    if (text.name == "dialect" || text.name == "scalar" || text.name == "sums") shared_chars += text.text.size();
  }
  for (const gpu::KernelInfo& kernel : gpu::all_kernels()) {
    EXPECT_LE(kernel.items_x * kernel.items_y, gpu::kGroupItems) << kernel.name;
    // Where there are no matrix units its fragments take local memory too; no device runs it so.
    if (kernel.program == "w8a8_matrix") continue;
    const std::string text = gpu::program_text(kernel.program);
    if (text.find("LOCAL ", shared_chars) == std::string::npos) continue;  // not built: that takes its time
    opencl::ProgramId& program = programs[kernel.program];
    if (program == nullptr) {
      const char* source = text.c_str();
      program = api.create_program(context, 1, &source, nullptr, nullptr);
      const char* options = "-cl-std=CL1.2 -cl-denorms-are-zero -D NARU_SOFTWARE_DIVIDE";
      ASSERT_EQ(api.build_program(program, 1, &device.id, options, nullptr, nullptr), opencl::kSuccess);
    }
    const opencl::KernelId id = api.create_kernel(program, std::string(kernel.name).c_str(), nullptr);
    uint64_t bytes = 0;
    ASSERT_EQ(info(id, device.id, kKernelLocalMemSize, sizeof(bytes), &bytes, nullptr), opencl::kSuccess)
        << kernel.name;
    EXPECT_LE(bytes, static_cast<uint64_t>(gpu::kLocalBytes)) << kernel.name;
    most = std::max(most, bytes);
    api.release_kernel(id);
  }
  EXPECT_GT(most, 16000u) << "nobody says what kernels take";
  for (const auto& [name, program] : programs) api.release_program(program);
  api.release_context(context);
}

// Kept programs that are cut, changed or empty are made again.
TEST(Opencl, DamagedProgramsAreMadeAgain) {
  SKIP_WHERE_ABSENT();
  const Folder folder;
  ::setenv("XDG_CACHE_HOME", folder.path().c_str(), 1);
  const auto run = [] {
    const auto chip = test::make_chip("opencl");
    expect_first_cases(*chip, "fill", 50);
  };
  run();
  const fs::path kept = folder.path() / "naru" / "kernels";
  ASSERT_TRUE(fs::exists(kept));
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(kept)) files.push_back(entry.path());
  ASSERT_EQ(files.size(), 3u) << "the probes and the elements";
  const auto bytes_of = [](const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  for (const fs::path& file : files) {
    const std::string whole = bytes_of(file);
    for (const std::string& damaged :
         {std::string(), whole.substr(0, whole.size() / 2), whole.substr(0, 64) + "nonsense"}) {
      std::ofstream(file, std::ios::binary) << damaged;
      run();
      EXPECT_GT(bytes_of(file).size(), 64u);
      EXPECT_NE(bytes_of(file), damaged);
    }
    std::string flipped = whole;
    flipped[flipped.size() / 2] ^= 1;
    std::ofstream(file, std::ios::binary) << flipped;
    run();
    EXPECT_NE(bytes_of(file), flipped);
  }
  // Nor is one taken from a folder that others may write to, which is the user's alone again behind the first one that
  // is made; nor, from then on, one of another user's.
  const auto inode_of = [](const fs::path& file) {
    struct stat status;
    return ::stat(file.c_str(), &status) == 0 ? status.st_ino : 0;
  };
  const auto n_made_again = [&] {
    std::vector<ino_t> before;
    for (const fs::path& file : files) before.push_back(inode_of(file));
    run();
    return std::inner_product(files.begin(), files.end(), before.begin(), 0, std::plus(),
                              [&](const fs::path& file, ino_t inode) { return inode_of(file) != inode ? 1 : 0; });
  };
  EXPECT_EQ(n_made_again(), 0);
  fs::permissions(kept, fs::perms::all);
  EXPECT_EQ(n_made_again(), 1);
  EXPECT_EQ(fs::status(kept).permissions(), fs::perms::owner_all);
  if (::geteuid() == 0) {  // who may give files away
    for (const fs::path& file : files) ASSERT_EQ(::chown(file.c_str(), 1, static_cast<gid_t>(-1)), 0);
    EXPECT_EQ(n_made_again(), 3);
  }
  ::unsetenv("XDG_CACHE_HOME");
}

}  // namespace
}  // namespace naru
