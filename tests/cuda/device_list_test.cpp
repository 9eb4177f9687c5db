// The list of a library's devices: as it goes through a pipe, as people read it, and how one of it is chosen.
#include "chips/gpu/device_list.h"

#include <gtest/gtest.h>

namespace naru {
namespace {

using gpu::DeviceList;

DeviceList two() {
  return {.devices = {{"First (driver 1)", int64_t{3} << 30, ""}, {"Second (driver 2)", 0, "it has no fma"}},
          .compiler = "NVRTC 13.0"};
}

TEST(DeviceList, GoesThroughAPipe) {
  for (const DeviceList& list : {two(), DeviceList{.devices = {{"Only", 1, ""}}, .compiler = ""}, DeviceList{}}) {
    const auto back = gpu::list_of(gpu::text_of(list));
    ASSERT_TRUE(back.ok()) << back.error().message;
    EXPECT_EQ(back->words(), list.words());
    ASSERT_EQ(back->devices.size(), list.devices.size());
    for (size_t i = 0; i < list.devices.size(); ++i) {
      EXPECT_EQ(back->devices[i].memory_bytes, list.devices[i].memory_bytes);
      EXPECT_EQ(back->devices[i].why_not, list.devices[i].why_not);
    }
  }
}

// Names are a driver's.
TEST(DeviceList, NamesCannotBreakIt) {
  const DeviceList list{.devices = {{"A\tname\nof\x1b[31m lines", 7, "a\treason\n"}, {"B", 8, ""}}, .compiler = "\n"};
  const auto back = gpu::list_of(gpu::text_of(list));
  ASSERT_TRUE(back.ok()) << back.error().message;
  ASSERT_EQ(back->devices.size(), 2u);
  EXPECT_EQ(back->devices[0].name, "A name of [31m lines");
  EXPECT_EQ(back->devices[0].why_not, "a reason ");
  EXPECT_EQ(back->devices[1].memory_bytes, 8);
}

TEST(DeviceList, ATextThatIsNoneIsAnError) {
  for (const char* text : {"\nnonsense", "\n12x\tname\t\n", "\n\t\t\n", "\n99999999999999999999\tname\t\n"}) {
    const auto list = gpu::list_of(text);
    ASSERT_FALSE(list.ok()) << text;
    EXPECT_EQ(list.error().code, Code::kInternal);
  }
}

TEST(DeviceList, SaysHowManyThereAre) {
  EXPECT_TRUE(gpu::check_number("cuda", "1", 1, two()).ok());
  const Status none = gpu::check_number("cuda", "2", 2, two());
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().code, Code::kNotFound);
  EXPECT_EQ(none.error().message,
            "choosing chip cuda:2: there are 2 devices: 0 First (driver 1); 1 Second (driver 2), of no use: it has no "
            "fma; NVRTC 13.0; choose one of them by its number");
  const DeviceList one{.devices = {{"Only", 1, ""}}, .compiler = ""};
  const Status second = gpu::check_number("opencl", "1+software", 1, one);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().message, "choosing chip opencl:1+software: there is one device: 0 Only; choose opencl:0");
}

TEST(DeviceList, GroupsHaveRoomForThoseOfTheKernels) {
  EXPECT_EQ(gpu::why_too_small(gpu::kGroupItems, gpu::kLocalBytes), "");
  EXPECT_EQ(gpu::why_too_small(gpu::kGroupItems - 1, gpu::kLocalBytes), "its groups have 127 items, 128 are wanted");
  EXPECT_EQ(gpu::why_too_small(gpu::kGroupItems, gpu::kLocalBytes - 1),
            "its groups have 32767 bytes of local memory, 32768 are wanted");
}

}  // namespace
}  // namespace naru
