# What `cmake --install` puts where, and the Debian package made of it (`cpack -G DEB` in the build folder). Only files of
# naru: libraries are other packages, which the package names as dpkg-shlibdeps finds them. All of it is the component naru.
include(GNUInstallDirs)
set(CMAKE_INSTALL_DEFAULT_COMPONENT_NAME naru)
set(naru_share ${CMAKE_INSTALL_DATADIR}/naru)

install(TARGETS naru RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})

# Recipes name what they read by paths relative to their own folder, so recipes/ and examples/ stay beside each other.
install(DIRECTORY docs DESTINATION ${naru_share} FILES_MATCHING PATTERN "*.md")
install(DIRECTORY recipes DESTINATION ${naru_share} FILES_MATCHING
        PATTERN "*.toml" PATTERN "*.json" PATTERN "*.jsonl" PATTERN "*.jinja" PATTERN "tokenizer-*" EXCLUDE)
install(DIRECTORY examples DESTINATION ${naru_share} FILES_MATCHING
        PATTERN "*.jsonl" PATTERN "*.toml" PATTERN "*.txt" PATTERN "tokenizer" EXCLUDE)
install(FILES README.md LICENSE DESTINATION ${naru_share})
install(FILES packaging/copyright DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/naru)

# The unit of systemd names the program where it was installed.
install(CODE "
  set(NARU_PROGRAM \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}/naru\")
  configure_file(\"${CMAKE_SOURCE_DIR}/packaging/naru.service.in\" \"${CMAKE_BINARY_DIR}/generated/naru.service\" @ONLY)
  file(INSTALL DESTINATION \"\${CMAKE_INSTALL_PREFIX}/lib/systemd/system\" TYPE FILE
       FILES \"${CMAKE_BINARY_DIR}/generated/naru.service\")
")

# Pages of the manual and completion: the program itself prints them, of the tables that read its command line.
set(naru_printed ${CMAKE_BINARY_DIR}/generated/share)
install(CODE "
  set(printed_pages \"${naru_printed}\")
  set(printing_program \"$<TARGET_FILE:naru>\")
  include(\"${CMAKE_SOURCE_DIR}/cmake/print_pages.cmake\")
")
install(DIRECTORY ${naru_printed}/man1 DESTINATION ${CMAKE_INSTALL_MANDIR})
install(DIRECTORY ${naru_printed}/bash/ DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(CODE "
  set(zsh_folder site-functions)
  if(CMAKE_INSTALL_PREFIX STREQUAL /usr)
    set(zsh_folder vendor-completions)  # where Debian's zsh looks for what packages bring
  endif()
  file(INSTALL DESTINATION \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_DATADIR}/zsh/\${zsh_folder}\" TYPE FILE
       FILES \"${naru_printed}/zsh/_naru\")
")
install(DIRECTORY ${naru_printed}/fish/ DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME naru)
set(CPACK_PACKAGE_VENDOR naru)
set(CPACK_PACKAGE_CONTACT "The naru project")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "runs and trains reasoning models with the same bits everywhere")
set(CPACK_PACKAGE_DESCRIPTION "naru runs and trains DeepSeek-style reasoning models from Hugging Face folders and
GGUF files, and gives the same bits on every exact chip, in any batch, with any number of threads, in
the trainer and when it answers, however often a run was killed.")
set(CPACK_COMPONENTS_ALL naru)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# Certificates, for naru pull.
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS ca-certificates)
include(CPack)
