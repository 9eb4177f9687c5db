# Has a naru print its pages of the manual and its completion into a folder; part of the installation.
#   printing_program the program; printed_pages the folder, made anew. A variable called naru would change what the
#   installation takes for the component of that name.
file(REMOVE_RECURSE ${printed_pages})

# naru_print(FILE words...): standard output of the program with these words.
function(naru_print file)
  get_filename_component(folder ${printed_pages}/${file} DIRECTORY)
  file(MAKE_DIRECTORY ${folder})
  execute_process(COMMAND ${printing_program} ${ARGN} OUTPUT_FILE ${printed_pages}/${file} RESULT_VARIABLE status ERROR_VARIABLE message)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "printing ${file}: naru ${ARGN} ended with ${status}: ${message}")
  endif()
endfunction()

naru_print(bash/naru completion bash)
naru_print(zsh/_naru completion zsh)
naru_print(fish/naru.fish completion fish)
naru_print(man1/naru.1 man)
file(STRINGS ${printed_pages}/man1/naru.1 pages REGEX "^\\.BR naru")
foreach(page ${pages})
  string(REGEX REPLACE "^\\.BR naru\\\\-([a-z]+) .*" "\\1" command "${page}")
  naru_print(man1/naru-${command}.1 man ${command})
endforeach()
