# The CPU chip: one set of sources for all processors (src/chips/cpu/*.cpp), and the kernels of src/chips/cpu/kernels
# compiled for each level, with that level's instructions. NARU_LEVEL names the level inside the sources.
#
# A level above avx512 compiles only the kernels that have instructions of their own there, and what calls those; its
# table (kernels/level.cpp) holds the functions of NARU_LOWER_LEVEL for all others.
file(GLOB cpu_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/chips/cpu/*.cpp)
file(GLOB cpu_kernels CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/chips/cpu/kernels/*.cpp)
set(cpu_products level amx matmul matmul_float matmul_integer pack quantise view_panels view_products)
list(TRANSFORM cpu_products REPLACE "(.+)" "${CMAKE_SOURCE_DIR}/src/chips/cpu/kernels/\\1.cpp")
set(cpu_attention attention attention_grad)
list(TRANSFORM cpu_attention REPLACE "(.+)" "${CMAKE_SOURCE_DIR}/src/chips/cpu/kernels/\\1.cpp")

if(NOT cpu_sources)
  add_library(naru_chips_cpu INTERFACE)
  target_link_libraries(naru_chips_cpu INTERFACE naru_contract naru_chips_planner)
else()
  add_library(naru_chips_cpu STATIC ${cpu_sources})
  target_include_directories(naru_chips_cpu PUBLIC ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(naru_chips_cpu PUBLIC naru_contract naru_chips_planner)
  naru_unity(naru_chips_cpu)

  # The baseline is there for its bits, and -O3 of its portable vectors takes as long as two other levels. With
  # sanitizers the optimiser's work on instrumented kernels would take most of the build.
  set(kernel_optimisation -O3)
  set(baseline_optimisation -O2)
  if(NARU_SANITIZE)
    set(kernel_optimisation -O1)
    set(baseline_optimisation -O1)
  endif()

  # naru_cpu_level(LEVEL [LOWER level] KERNELS sources... FLAGS flags...)
  function(naru_cpu_level level)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "LOWER" "KERNELS;FLAGS")
    add_library(naru_cpu_${level} OBJECT ${arg_KERNELS})
    target_include_directories(naru_cpu_${level} PRIVATE ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(naru_cpu_${level} PRIVATE naru_contract)
    target_compile_definitions(naru_cpu_${level} PRIVATE NARU_LEVEL=${level} NARU_LEVEL_${level}=1)
    if(arg_LOWER)
      target_compile_definitions(naru_cpu_${level} PRIVATE NARU_LOWER_LEVEL=${arg_LOWER})
    endif()
    target_compile_options(naru_cpu_${level} PRIVATE ${arg_FLAGS})
    target_sources(naru_chips_cpu PRIVATE $<TARGET_OBJECTS:naru_cpu_${level}>)
    naru_unity(naru_cpu_${level} 10)
  endfunction()

  naru_cpu_level(baseline KERNELS ${cpu_kernels} FLAGS ${baseline_optimisation})
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    set(avx2 -mavx2 -mfma -mf16c -mbmi2)
    set(avx512 ${avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512cd -mprefer-vector-width=512)
    set(avx512vnni ${avx512} -mavx512vnni -mavx512bf16)
    naru_cpu_level(avx2 KERNELS ${cpu_kernels} FLAGS ${kernel_optimisation} ${avx2})
    naru_cpu_level(avx512 KERNELS ${cpu_kernels} FLAGS ${kernel_optimisation} ${avx512})
    naru_cpu_level(avx512vnni LOWER avx512 KERNELS ${cpu_products} ${cpu_attention} FLAGS ${kernel_optimisation} ${avx512vnni})
    # Attention by tiles does not exist, and by VDPBF16PS it is for processors without tiles.
    naru_cpu_level(amx LOWER avx512 KERNELS ${cpu_products}
                   FLAGS ${kernel_optimisation} ${avx512vnni} -mamx-tile -mamx-bf16 -mamx-int8)
  endif()
endif()
