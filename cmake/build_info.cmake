# Writes the source with what `naru --version` says of this build, and leaves it as it is where nothing changed, so that a
# build compiles and links no more than a commit changed. Run by every build: cmake -D... -P build_info.cmake
#   SOURCE the repository; OUT the file; VERSION, COMPILER, BUILD as cli/version.h has them
set(commit unknown)
find_program(git git)
if(git AND EXISTS ${SOURCE}/.git)  # a folder, or a file in a worktree; an unpacked archive inside of another repository has none
  set(ask ${git} --no-optional-locks -C ${SOURCE})
  execute_process(COMMAND ${ask} rev-parse --short=12 HEAD OUTPUT_VARIABLE head RESULT_VARIABLE status
                  OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(status EQUAL 0)
    set(commit ${head})
    execute_process(COMMAND ${ask} status --porcelain --untracked-files=no -- src cmake CMakeLists.txt
                    OUTPUT_VARIABLE changes OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    if(changes)
      string(APPEND commit " with changes")
    endif()
  endif()
endif()
file(SHA256 ${SOURCE}/docs/arithmetic.md arithmetic)
set(text "// Made by cmake/build_info.cmake.\n#include \"cli/version.h\"\n\nnamespace naru::cli {\n\n")
string(APPEND text "const BuildInfo kBuildInfo = {\"${VERSION}\", \"${commit}\", \"${COMPILER}\", \"${BUILD}\",\n")
string(APPEND text "                              \"${arithmetic}\"};\n\n")
string(APPEND text "}  // namespace naru::cli\n")
set(old "")
if(EXISTS ${OUT})
  file(READ ${OUT} old)
endif()
if(NOT old STREQUAL text)
  file(WRITE ${OUT} "${text}")
endif()
