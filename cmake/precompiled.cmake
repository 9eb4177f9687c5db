# Precompiled headers: what most sources include from the standard library and {fmt}, read once instead of once a file.
# They only save time. A source still includes all that it uses: -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON builds without.
# Of src/ only what every source of a target includes anyway belongs here: an edit of it compiles all of them again.
set(naru_headers
    <algorithm> <array> <bit> <charconv> <chrono> <cmath> <cstdint> <cstring> <filesystem> <functional> <map> <memory>
    <numeric> <optional> <set> <span> <sstream> <string> <string_view> <unordered_map> <unordered_set> <utility>
    <variant> <vector> <fmt/format.h>)
set(naru_test_headers ${naru_headers} <fstream> <iostream> <gtest/gtest.h>)
set(naru_kernel_headers
    <algorithm> <array> <bit> <cmath> <cstdint> <cstring> <memory> <span> <string_view> <type_traits> <utility> <vector>
    <chips/cpu/kernels/kernels.h>)

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  add_compile_options(-fpch-preprocess)  # ccache finds the precompiled header in the preprocessed text
endif()

# naru_precompile(TARGET OWNER [headers...]): TARGET uses the precompiled header of OWNER, and makes it where it is the
# owner itself. Both must be compiled with the same options; the level of optimisation may differ.
function(naru_precompile target owner)
  if(NOT target STREQUAL owner)
    target_precompile_headers(${target} REUSE_FROM ${owner})
  elseif(ARGN)
    target_precompile_headers(${target} PRIVATE ${ARGN})
  else()
    target_precompile_headers(${target} PRIVATE ${naru_headers})
  endif()
  # What std::char_traits turns off for itself, and GCC forgets when the header is precompiled.
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_compile_options(${target} PRIVATE -Wno-array-bounds -Wno-stringop-overflow -Wno-stringop-overread)
  endif()
endfunction()
