# The built-in model: the .gguf file of src/builtin and its record, put into the program as they are by the assembler. The
# file must be the one that the record is of; where neither is there, the program is built without a model of its own, and
# says so.
#
# naru_builtin(TARGET): adds the generated source to it.
function(naru_builtin target)
  set(name r1-tiny)
  set(file ${CMAKE_SOURCE_DIR}/src/builtin/${name}.gguf)
  set(record ${CMAKE_SOURCE_DIR}/src/builtin/${name}.json)
  # Looked at again when they come, change or go.
  file(GLOB found CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/builtin/*.gguf ${CMAKE_SOURCE_DIR}/src/builtin/*.json)
  set(source ${CMAKE_BINARY_DIR}/generated/builtin_content.cpp)
  set(NARU_BUILTIN_SYMBOLS "")
  set(NARU_BUILTIN_BODY "  return nullptr;\n")
  set(depends "")
  set(NARU_HAS_BUILTIN OFF PARENT_SCOPE)
  if(EXISTS ${file} OR EXISTS ${record})
    foreach(path ${file} ${record})
      if(NOT EXISTS ${path})
        message(FATAL_ERROR "the built-in model: ${path} is missing, and the other of its two files is there; get both from "
                            "the repository, or make them: tools/make_builtin_model.py --write")
      endif()
    endforeach()
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file} ${record})
    file(READ ${record} text)
    foreach(key sha256 bytes parameters recipe)
      string(JSON ${key} ERROR_VARIABLE problem GET "${text}" ${key})
      if(problem)
        message(FATAL_ERROR "the built-in model: ${record}: ${problem}; make it again: tools/make_builtin_model.py --write")
      endif()
    endforeach()
    file(SHA256 ${file} hash)
    if(NOT hash STREQUAL sha256)
      message(FATAL_ERROR "the built-in model: the SHA-256 of ${file} is ${hash}, and ${record} says ${sha256}; get both from "
                          "the repository, or make them again: tools/make_builtin_model.py --write")
    endif()
    set(NARU_BUILTIN_SYMBOLS "NARU_BUILTIN_FILE(model, \"${file}\")\nNARU_BUILTIN_FILE(record, \"${record}\")\n")
    set(NARU_BUILTIN_BODY
        "  static const Bytes file = std::as_bytes(std::span<const char>(naru_builtin_model, naru_builtin_model_end));
  static const BuiltinContent content = {
      {\"${name}\", \"builtin:/${name}.gguf\", \"${sha256}\", ${bytes}, ${parameters}, \"${recipe}\",
       std::string_view(naru_builtin_record, static_cast<size_t>(naru_builtin_record_end - naru_builtin_record))},
      file};
  return &content;
")
    set(depends ${file} ${record})
    set(NARU_HAS_BUILTIN ON PARENT_SCOPE)
  else()
    message(WARNING "naru is built without a built-in model: ${file} is not there; get it from the repository, or make it: "
                    "tools/make_builtin_model.py --write")
  endif()
  configure_file(${CMAKE_SOURCE_DIR}/cmake/builtin_content.cpp.in ${source} @ONLY)
  set_source_files_properties(${source} PROPERTIES GENERATED ON SKIP_UNITY_BUILD_INCLUSION ON OBJECT_DEPENDS "${depends}")
  target_sources(${target} PRIVATE ${source})
endfunction()
