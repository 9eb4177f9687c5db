# The CPU chip: one set of sources for all processors (src/chips/cpu/*.cpp), and the kernels of src/chips/cpu/kernels
# compiled once for each level, with that level's instructions. NARU_LEVEL names the level inside the sources.
file(GLOB cpu_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/chips/cpu/*.cpp)
file(GLOB cpu_kernels CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/chips/cpu/kernels/*.cpp)

if(NOT cpu_sources)
  add_library(naru_chips_cpu INTERFACE)
  target_link_libraries(naru_chips_cpu INTERFACE naru_contract)
else()
  add_library(naru_chips_cpu STATIC ${cpu_sources})
  target_include_directories(naru_chips_cpu PUBLIC ${CMAKE_SOURCE_DIR}/src)
  target_link_libraries(naru_chips_cpu PUBLIC naru_contract)

  # With sanitizers the optimiser's work on instrumented kernels would take most of the build.
  set(kernel_optimisation -O3)
  if(NARU_SANITIZE)
    set(kernel_optimisation -O1)
  endif()

  function(naru_cpu_level level)
    add_library(naru_cpu_${level} OBJECT ${cpu_kernels})
    target_include_directories(naru_cpu_${level} PRIVATE ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(naru_cpu_${level} PRIVATE naru_contract)
    target_compile_definitions(naru_cpu_${level} PRIVATE NARU_LEVEL=${level} NARU_LEVEL_${level}=1)
    target_compile_options(naru_cpu_${level} PRIVATE ${kernel_optimisation} ${ARGN})
    target_sources(naru_chips_cpu PRIVATE $<TARGET_OBJECTS:naru_cpu_${level}>)
  endfunction()

  naru_cpu_level(baseline)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    set(avx2 -mavx2 -mfma -mf16c -mbmi2)
    set(avx512 ${avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512cd -mprefer-vector-width=512)
    naru_cpu_level(avx2 ${avx2})
    naru_cpu_level(avx512 ${avx512})
    naru_cpu_level(avx512vnni ${avx512} -mavx512vnni -mavx512bf16)
    naru_cpu_level(amx ${avx512} -mavx512vnni -mavx512bf16 -mamx-tile -mamx-bf16 -mamx-int8)
  endif()
endif()
